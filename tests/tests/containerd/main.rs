//! The containerd tier: real pods, ended the way a kubelet ends them, and the report about each.
//!
//! Needs root, containerd, runc, the CNI plugins and busybox-static; makes a node of its own
//! (`gracetrace_tests::node`) and removes it. `harness-itself` needs no gracetrace.

mod case;
mod connections;
mod ends_itself;
mod forced;
mod harness;
mod healthy;
mod neighbours;
mod outside;
mod play;
mod probes;
mod rare;
mod several;
mod stopped;

use gracetrace_tests::node::Node;
use gracetrace_tests::suite::{self, Scenario};
use std::path::Path;

fn main() -> std::process::ExitCode {
    let mut scenarios: Vec<Scenario<Node>> = vec![
        Scenario { name: "harness-itself", play: harness::proves_itself },
        Scenario { name: "graceful-server", play: stopped::graceful_server },
        Scenario { name: "slow-drain", play: stopped::slow_drain },
        Scenario { name: "prestop-sleep", play: stopped::prestop_sleep },
        Scenario { name: "prestop-fails", play: stopped::prestop_fails },
        Scenario { name: "prestop-eats", play: stopped::prestop_eats },
        Scenario { name: "prestop-overruns", play: forced::prestop_overruns },
        Scenario { name: "stopsignal-quit", play: stopped::stopsignal_quit },
        Scenario { name: "init-wrapper", play: stopped::init_wrapper },
        Scenario { name: "exec-during", play: stopped::exec_during },
        Scenario { name: "ignores-term", play: forced::ignores_term },
        Scenario { name: "overruns", play: forced::overruns },
        Scenario { name: "force-delete", play: forced::force_delete },
        Scenario { name: "killed-from-host", play: forced::killed_from_host },
        Scenario { name: "oom-pid1", play: ends_itself::oom_pid1 },
        Scenario { name: "crash", play: ends_itself::crash },
        Scenario { name: "completed", play: ends_itself::completed },
        Scenario { name: "two-containers", play: several::two_containers },
        Scenario { name: "shared-pid", play: several::shared_pid },
        Scenario { name: "daemon", play: several::daemon },
    ];
    scenarios.extend(connections::all());
    scenarios.extend([
        Scenario { name: "kubelet-accepted", play: probes::accepted },
        Scenario { name: "kubelet-refused", play: probes::refused },
        Scenario { name: "kubelet-beside-clients", play: probes::beside_clients },
        Scenario { name: "proxy-leaves-first", play: neighbours::proxy_leaves_first },
        Scenario { name: "proxy-leaves-last", play: neighbours::proxy_leaves_last },
        Scenario { name: "server-of-a-pod", play: neighbours::server_of_a_pod },
        Scenario { name: "client-of-a-pod", play: neighbours::client_of_a_pod },
        Scenario { name: "client-of-a-gone-pod", play: neighbours::client_of_a_gone_pod },
        Scenario { name: "host-network", play: neighbours::host_network },
        Scenario { name: "still-open", play: rare::still_open },
        Scenario { name: "timed-out", play: rare::timed_out },
        Scenario { name: "snapshot", play: rare::snapshot },
        Scenario { name: "healthy-churn", play: healthy::under_churn },
    ]);
    suite::run("containerd", &scenarios, || Node::start(Path::new(env!("CARGO_BIN_EXE_victim"))))
}
