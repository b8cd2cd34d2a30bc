//! The containerd tier: real pods, ended the way a kubelet ends them, and the report about each.
//!
//! Needs root, containerd, runc, the CNI plugins and busybox-static; makes a node of its own
//! (`gracetrace_tests::node`) and removes it. `harness-itself` needs no gracetrace.

mod case;
mod caught;
mod connections;
mod crashes;
mod crowd;
mod ends_itself;
mod forced;
mod harness;
mod healthy;
mod hooks;
mod inside;
mod namespaced;
mod neighbours;
mod outside;
mod play;
mod probes;
mod rare;
mod several;
mod shells;
mod stopped;

use case::{Case, case, check};
use gracetrace_tests::client::Use;
use gracetrace_tests::counts::Counts;
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
    scenarios.extend(stranger());
    if has_v2_memory() {
        scenarios.push(Scenario { name: "oom-group", play: crashes::oom_group });
    } else {
        // v1 has no such file; `cargo xtask vm --node` plays it on nodes that have
        suite::say("left out: oom-group, for the memory controller is not in the v2 tree here");
    }
    suite::run("containerd", &scenarios, || Node::start(Path::new(env!("CARGO_BIN_EXE_victim"))))
}

/// Whether limits on memory are the v2 tree's.
fn has_v2_memory() -> bool {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    controllers.split_whitespace().any(|controller| controller == "memory")
}

/// Shells, hooks, crashes and what goes on inside; the daemon and its crowds.
fn stranger() -> Vec<Scenario<Node>> {
    vec![
        Scenario { name: "shell-wrapper", play: shells::background },
        Scenario { name: "shell-foreground", play: shells::foreground },
        Scenario { name: "shell-one-command", play: shells::one_command },
        Scenario { name: "shell-exec", play: shells::exec },
        Scenario { name: "shell-forwards", play: shells::forwards },
        Scenario { name: "crash-on-stop", play: crashes::on_stop },
        Scenario { name: "oom-on-stop", play: crashes::oom_on_stop },
        Scenario { name: "oom-child", play: crashes::oom_child },
        Scenario { name: "oom-earlier", play: crashes::oom_earlier },
        Scenario { name: "nested-cgroup", play: inside::nested_cgroup },
        Scenario { name: "thread-leader-exits", play: inside::thread_leader_exits },
        Scenario { name: "supervisor-kills", play: inside::supervisor_kills },
        Scenario { name: "killed-by-cgroup", play: inside::killed_by_cgroup },
        Scenario { name: "prestop-kind-sleep", play: hooks::kind_sleep },
        Scenario { name: "prestop-http-get", play: hooks::http_get },
        Scenario { name: "prestop-in-time", play: hooks::in_time },
        Scenario { name: "exec-probe", play: hooks::exec_probe },
        Scenario { name: "restart-in-place", play: crowd::restart_in_place },
        Scenario { name: "fifty-at-once", play: crowd::fifty },
        Scenario { name: "adopted-late", play: caught::in_the_middle },
        Scenario { name: "lost-records", play: caught::lost_records },
        Scenario { name: "lost-exit", play: caught::lost_exit },
        Scenario { name: "fail-on", play: caught::fail_on },
        Scenario { name: "other-pods-let-be", play: caught::others_are_let_be },
        Scenario { name: "private-cgroupns", play: namespaced::private_cgroup_namespace },
        Scenario { name: "part-of-the-tree", play: namespaced::part_of_the_tree },
        case!("short-grace", { grace_s: 2 }),
        case!("static-pod", {
            is_static: true,
            clients: &[Use::Served],
            connections: Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() },
        }),
        case!("nested-cluster", {
            is_nested: true,
            clients: &[Use::Served],
            connections: Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() },
        }),
        case!("nearly-slow", { grace_s: 10, victim: &["slow-drain", "7000"] }),
    ]
}
