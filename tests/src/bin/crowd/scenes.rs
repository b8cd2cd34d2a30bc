//! What is played: many pods that are killed at once, and one that storms.

use super::clients::{self, Clients};
use super::pod::{Pod, address};
use super::{Options, sys};
use anyhow::{Context, ensure};
use gracetrace_tests::clock::boot_ns;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What happens in the same moment as the kill has no right order.
const QUIET: Duration = Duration::from_millis(300);
/// How long a pod that has stormed stays.
const STAYS_MS: &str = "500";

/// Pods with connections; SIGKILL to each of their processes, one after the other without waiting, from a process called
/// `runc`; then their cgroups are removed.
///
/// SIGKILL and no stop signal: nothing of what a process would still do can come before or after another's end, so each of
/// its connections is open at the kill and cut by it, and no other number is right.
pub(crate) fn kill(options: &Options) -> anyhow::Result<Vec<String>> {
    let (root, program) = places(options)?;
    sys::call_oneself_runc()?;
    let begun = boot_ns();
    let mut pods = Vec::new();
    for number in options.first..options.first + options.pods {
        let mut command = Command::new(program);
        command.args(["--listen", &address(number).to_string(), "--hold", "ignores"]);
        pods.push(Pod::start(root, number, &mut command)?);
    }
    let mut clients = Clients::start(options)?;
    clients.iter_mut().try_for_each(Clients::connected)?;
    clients::all_accepted(&pods, options.connections)?;
    std::thread::sleep(QUIET);
    let killed_from = boot_ns();
    pods.iter().try_for_each(Pod::kill)?;
    let killed_to = boot_ns();
    for pod in &mut pods {
        pod.wait()?;
    }
    let ended = boot_ns();
    pods.iter().try_for_each(Pod::remove)?;
    let removed = boot_ns();
    let (mut orderly, mut reset) = (0, 0);
    for clients in &mut clients {
        let [orderly_here, reset_here] = clients.ends()?;
        orderly += orderly_here;
        reset += reset_here;
    }
    let figure = |name: &str, number: u64| format!("{name} {number}\n");
    Ok(vec![
        figure("up-ns", killed_from - begun),
        figure("kills-ns", killed_to - killed_from),
        figure("ended-at", ended),
        figure("removed-at", removed),
        figure("orderly", orderly),
        figure("reset", reset),
    ])
}

/// The program is `load`, and storms in a pod of its own until it has sent all.
pub(crate) fn storm(options: &Options) -> anyhow::Result<Vec<String>> {
    let (root, program) = places(options)?;
    let results = options.results.as_ref().context("--results is missing")?.with_extension("storm");
    let mut command = Command::new(program);
    command.args(["storm", "--millis", STAYS_MS, "--count", &options.signals.to_string(), "--results"]).arg(&results);
    let mut pod = Pod::start(root, options.first, &mut command)?;
    let status = pod.wait()?;
    ensure!(status.success(), "the storm failed: {status}");
    pod.remove()?;
    Ok(vec![format!("sent {}\n", options.signals)])
}

fn places(options: &Options) -> anyhow::Result<(&Path, &Path)> {
    let root = options.root.as_deref().context("--root is missing")?;
    Ok((root, options.program.as_deref().context("--program is missing")?))
}
