//! Runs programs in the open: what is run is printed, what it prints is seen at once.

use crate::bpf_toolchain;
use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace; cargo says where xtask's own folder is.
pub(crate) fn workspace() -> Result<PathBuf> {
    let own_folder = env::var_os("CARGO_MANIFEST_DIR").context("not started by cargo; run: cargo xtask")?;
    let root = Path::new(&own_folder).parent().context("xtask is not in a workspace")?;
    Ok(root.to_owned())
}

/// The folder that cargo builds into: this program is there itself.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let own_path = env::current_exe().context("can't find the path of this program")?;
    let folder = bpf_toolchain::cargos_folder(&own_path);
    Ok(folder.context("xtask is not in cargo's target folder; run: cargo xtask")?.to_owned())
}

/// The cargo that started us, in the root of the workspace.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()?).args(arguments);
    Ok(command)
}

/// Announces a step of the work.
pub(crate) fn heading(what: &str) {
    println!("\n==> {what}");
}

/// Prints the command, runs it with our own standard streams, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("    $ {line}");
    let status = command.status().with_context(|| format!("can't start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Does it end well? What it prints is nobody's business.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// A program of that name, also where only root's `PATH` leads.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&folders).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Do we run as root?
pub(crate) fn is_root() -> bool {
    Path::new("/proc/self").metadata().is_ok_and(|process| process.uid() == 0)
}

/// A command as a person would type it, without the path of the program.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::shown;
    use std::process::Command;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--", "two words"]);
        assert_eq!(shown(&command), "cargo test -- 'two words'");
    }
}
