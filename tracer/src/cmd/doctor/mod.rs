//! `gracetrace doctor`: what this kernel and node allow, probe by probe, runtime by runtime, and what
//! is lost without each. Its findings are its output, so they go to stdout.

mod host;

use super::{Exit, console, session};
use crate::cli::DoctorArgs;
use crate::engine::cgroup_path;
use crate::source::cgroupfs::{CgroupError, CgroupTree, Hierarchy};
use crate::source::probe::{ProbeOptions, Probes};
use crate::source::runtime;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The ring buffer of the probes that are only tried.
const RING_BYTES: u32 = 256 << 10;

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// It is.
    Good,
    /// It is not, and something is lost without it.
    Lost,
    /// It is not, and nothing can be traced without it.
    Fatal,
}

/// What doctor has to say, section by section.
#[derive(Debug, Default)]
struct Page {
    text: String,
    fatal: Vec<String>,
}

impl Page {
    fn section(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        // writing to a `String` cannot fail
        let _ = writeln!(self.text, "{gap}{title}");
    }

    fn line(&mut self, mark: Mark, what: &str, note: &str) {
        let sign = match mark {
            Mark::Good => "ok  ",
            Mark::Lost => "lost",
            Mark::Fatal => "MISSING",
        };
        let note = note.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = format!("  {sign:<8}{what:<23} {note}");
        let _ = writeln!(self.text, "{}", line.trim_end());
        if mark == Mark::Fatal {
            self.fatal.push(format!("{what}: {note}"));
        }
    }
}

/// Looks at everything and says what it found; fails if nothing can be traced here.
pub(super) async fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut page = Page::default();
    kernel(&mut page);
    privileges(&mut page);
    let tree = CgroupTree::find(args.cgroups.cgroup_hierarchy.wish());
    // without a tree there is nothing to trace, and the programs can be tried all the same
    probes(&mut page, tree.as_ref().map_or(Hierarchy::V2, CgroupTree::hierarchy));
    cgroups(&mut page, tree);
    let answers = runtimes(&mut page, args.runtime_endpoint.as_deref()).await;
    page.section("verdict");
    let verdict = if !page.fatal.is_empty() {
        "gracetrace cannot trace here; what is MISSING above says what to do"
    } else if answers {
        "gracetrace can trace here"
    } else {
        "gracetrace can trace here; names and grace periods of pods may be unknown"
    };
    let _ = writeln!(page.text, "  {verdict}");
    console::print(&page.text)?;
    Ok(if page.fatal.is_empty() { Exit::Done } else { Exit::Failed })
}

fn kernel(page: &mut Page) {
    page.section("kernel");
    page.line(Mark::Good, "release", &session::kernel_release());
    match host::btf() {
        Ok(bytes) => page.line(Mark::Good, "BTF", &format!("{} ({} KiB)", host::BTF, bytes >> 10)),
        Err(error) => page.line(
            Mark::Fatal,
            "BTF",
            &format!("{}: {error}; boot a kernel with CONFIG_DEBUG_INFO_BTF=y, in a container mount /sys", host::BTF),
        ),
    }
    match host::lockdown().as_deref() {
        Some("confidentiality") => page.line(
            Mark::Fatal,
            "lockdown",
            "confidentiality: programs may not read kernel memory; boot with lockdown=integrity or none",
        ),
        Some(mode) => page.line(Mark::Good, "lockdown", mode),
        None => page.line(Mark::Good, "lockdown", "not in this kernel, or /sys/kernel/security is not mounted"),
    }
}

fn privileges(page: &mut Page) {
    page.section("privileges");
    let Some(capabilities) = host::capabilities() else {
        page.line(Mark::Lost, "capabilities", "/proc/self/status cannot be read");
        return;
    };
    let admin = capabilities.has(host::SYS_ADMIN);
    for (number, name) in [(host::BPF, "CAP_BPF"), (host::PERFMON, "CAP_PERFMON")] {
        match (capabilities.has(number), admin) {
            (true, _) => page.line(Mark::Good, name, ""),
            (false, true) => page.line(Mark::Good, name, "by CAP_SYS_ADMIN"),
            (false, false) => {
                page.line(Mark::Fatal, name, "run as root, or give it with `setcap cap_bpf,cap_perfmon+ep`");
            }
        }
    }
    for (number, name, lost) in [
        (host::SYS_ADMIN, "CAP_SYS_ADMIN", "a pod's sockets are not looked at when it is stopped"),
        (
            host::SYS_PTRACE,
            "CAP_SYS_PTRACE",
            "the network namespace of other users' pods, and sockets handed into a pod",
        ),
    ] {
        if capabilities.has(number) {
            page.line(Mark::Good, name, "");
        } else {
            page.line(Mark::Lost, name, &format!("not known without it: {lost}"));
        }
    }
}

fn probes(page: &mut Page, hierarchy: Hierarchy) {
    page.section("probes");
    let options = ProbeOptions { hierarchy, follow_new_pods: false, ring_bytes: RING_BYTES, kernel_log: false };
    let probes = match Probes::load(&options) {
        Ok(probes) => probes,
        Err(error) => {
            page.line(Mark::Fatal, "programs", &console::one_line(&error.into()));
            return;
        }
    };
    for status in probes.status() {
        page.line(if status.attached { Mark::Good } else { Mark::Lost }, status.name, &status.note);
    }
    for limit in probes.limits() {
        page.line(Mark::Lost, "reports", &limit);
    }
}

fn cgroups(page: &mut Page, tree: Result<CgroupTree, CgroupError>) {
    page.section("cgroups");
    page.line(Mark::Good, "layout", host::layout().words());
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => {
            page.line(Mark::Fatal, "hierarchy", &console::one_line(&error.into()));
            return;
        }
    };
    page.line(Mark::Good, "hierarchy", &format!("{}, at {}", tree.hierarchy(), tree.root().display()));
    match tree.pods() {
        Ok(found) => {
            let places = found.iter().filter_map(|found| cgroup_path::parse(&found.path));
            let pods: BTreeSet<String> = places.map(|place| place.uid).collect();
            page.line(Mark::Good, "pods on this node", &pods.len().to_string());
        }
        Err(error) => page.line(Mark::Lost, "pods on this node", &console::one_line(&error.into())),
    }
}

/// Gives whether one of them answers.
async fn runtimes(page: &mut Page, endpoint: Option<&str>) -> bool {
    page.section("container runtimes (names, images, grace periods, preStop hooks)");
    let mut answers = false;
    for status in runtime::probe_endpoints(endpoint).await {
        match status.answer {
            Ok(version) => {
                answers = true;
                page.line(Mark::Good, &version, &status.endpoint);
            }
            Err(why) => page.line(Mark::Lost, "no answer", &format!("{}: {why}", status.endpoint)),
        }
    }
    if !answers {
        page.line(
            Mark::Lost,
            "names",
            "from a runtime's config.json and /var/log/pods where they are there, else only ids; --runtime-endpoint names another socket",
        );
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_remembered() {
        let mut page = Page::default();
        page.section("a");
        page.line(Mark::Good, "x", "fine");
        page.section("b");
        page.line(Mark::Fatal, "y", "not\nthere");
        assert_eq!(
            page.text,
            "a\n  ok      x                       fine\n\nb\n  MISSING y                       not there\n"
        );
        assert_eq!(page.fatal, ["y: not there"]);
    }
}
