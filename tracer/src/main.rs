//! Parses, dispatches, exits.

use gracetrace::cli::{self, UsageError};
use gracetrace::cmd::{self, console};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The exit code of a command line that cannot be.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(UsageError::Line(line)) => {
            console::say(&format!("gracetrace: {line}"));
            return ExitCode::from(USAGE);
        }
        Err(UsageError::Clap(error)) => {
            // help and version go to stdout, which may be closed
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    diagnostics(cli.verbose);
    match cmd::dispatch(cli) {
        Ok(exit) => exit.into(),
        // whoever read the reports has seen enough
        Err(error) if error.is::<console::StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            console::say(&format!("gracetrace: {}", console::one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

/// What the code says about itself goes to stderr; `-v` for more of it.
fn diagnostics(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        3.. => "trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{level},h2=warn,hyper=warn,tower=warn,tonic=warn,aya_obj=warn")))
        .with_writer(std::io::stderr)
        .with_ansi(console::colour(std::io::stderr().is_terminal()))
        .without_time()
        .with_target(verbose > 1)
        .init();
}
