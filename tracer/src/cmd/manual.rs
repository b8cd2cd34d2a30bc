//! What a packager installs beside the program: man pages and completions, from the command line's own
//! declaration.

use super::{Exit, console};
use crate::cli::Cli;
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

/// Prints the man page of the program, or of one of its commands.
pub(super) fn man(command: Option<&str>) -> anyhow::Result<Exit> {
    console::print(&page(command)?)?;
    Ok(Exit::Done)
}

fn page(command: Option<&str>) -> anyhow::Result<String> {
    let mut cli = Cli::command();
    // gives each command its full name: gracetrace-run
    cli.build();
    let chosen = match command {
        None => cli,
        Some(name) => {
            let found = cli.find_subcommand(name);
            found.with_context(|| format!("there is no command {name}; `gracetrace --help` lists them"))?.clone()
        }
    };
    let mut roff = Vec::new();
    Man::new(chosen)
        .source(concat!("gracetrace ", env!("CARGO_PKG_VERSION")))
        .render(&mut roff)
        .context("cannot write the man page")?;
    String::from_utf8(roff).context("cannot write the man page")
}

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gracetrace", &mut script);
    console::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn every_command_has_its_page() {
        let main = page(None).expect("a page");
        assert!(main.contains(".TH gracetrace 1"), "{main}");
        let run = page(Some("run")).expect("a page");
        assert!(run.contains(".TH gracetrace-run 1") && run.contains("gracetrace run"), "{run}");
        assert!(page(Some("nonsense")).is_err());
    }
}
