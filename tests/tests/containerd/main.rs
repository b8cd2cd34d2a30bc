//! The containerd tier: real pods, ended the way a kubelet ends them, and the report about each.
//!
//! Needs root, containerd, runc, the CNI plugins and busybox-static; makes a node of its own
//! (`gracetrace_tests::node`) and removes it. `harness-itself` needs no gracetrace.

mod harness;

use gracetrace_tests::node::Node;
use gracetrace_tests::suite::{self, Scenario};
use std::path::Path;

fn main() -> std::process::ExitCode {
    let scenarios: Vec<Scenario<Node>> = vec![Scenario { name: "harness-itself", play: harness::proves_itself }];
    suite::run("containerd", &scenarios, || Node::start(Path::new(env!("CARGO_BIN_EXE_victim"))))
}
