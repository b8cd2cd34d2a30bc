//! More than one: containers of a pod, pods of a node.

use crate::play::{PORT, Traced, who};
use gracetrace_tests::client::Use;
use gracetrace_tests::clock::ms_between;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::node::{ContainerSpec, Node, PodSpec};
use gracetrace_tests::tracer::Tracer;
use std::time::Duration;

/// A server and its companion, which leaves at once; both on one clock.
pub(crate) fn two_containers(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("two-containers", 8, &[PORT[0], PORT[1], "slow-drain", "1500"]);
    let mut traced = Traced::pod(node, &spec.and(ContainerSpec::new("proxy", &["slow-drain", "200"])))?;
    traced.open([Use::Asks(1000)])?;
    let mut ended = traced.stop()?;
    ended.facts.holds(ended.seen[0].answers == 1, "the client was answered", "it was not");
    ended.facts.is("/outcome", "Graceful");
    for name in ["app", "proxy"] {
        ended.stop_signal(name, "SIGTERM", "Delivered", "Handler");
        ended.exited(name, Ok(0));
        ended.not_killed(name);
        ended.took_what_the_victim_says(name)?;
    }
    let exits: Vec<_> =
        ["app", "proxy"].map(|name| ended.pod.stamps(name).first("exit")).into_iter().collect::<Result<_, _>>()?;
    let apart = ms_between(exits[1].at_ns, exits[0].at_ns);
    let at = ["app", "proxy"].map(|name| ended.facts.ms(&format!("{}/exit/atMs", ended.facts.container(name))));
    let found = at[0] - at[1];
    ended.facts.holds(
        (found - apart).abs() <= 20.0,
        &format!("the exits are {apart:.1} ms apart"),
        &format!("{found}"),
    );
    ended.connections(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    // no connection was between them
    ended.facts.findings(&[]);
    ended.facts.timeline("ContainerExited", 2);
    ended.verdict()
}

/// `shareProcessNamespace`: the sandbox is PID 1 for all, and still the app is the app.
pub(crate) fn shared_pid(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("shared-pid", 8, &[PORT[0], PORT[1], "graceful"]);
    spec.share_pids = true;
    let mut traced = Traced::pod(node, &spec)?;
    traced.open([Use::Asks(500)])?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    ended.connections(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    ended.facts.findings(&[]);
    ended.verdict()
}

/// The daemon: two pods end, one gracefully, and there is one line for each.
pub(crate) fn daemon(node: &Node) -> anyhow::Result<Vec<String>> {
    let endpoint = node.endpoint();
    let before = node.kubelet.run(&PodSpec::new("daemon-first", 8, &[PORT[0], PORT[1], "graceful"]))?;
    let mut tracer = Tracer::start(["-o", "jsonl", "--runtime-endpoint", &endpoint])?;
    tracer.wait_for_line("tracing")?;
    let after = node.kubelet.run(&PodSpec::new("daemon-second", 2, &["ignores"]))?;
    std::thread::sleep(Duration::from_millis(500));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| node.kubelet.stop(&before));
        let second = scope.spawn(|| node.kubelet.stop(&after));
        first.join().and_then(|first| second.join().map(|second| first.and(second)))
    })
    .map_err(|_| anyhow::anyhow!("the kubelet panicked"))??;
    tracer.wait_for_reports(2)?;
    let reports = tracer.end()?.reports()?;
    node.kubelet.remove(&before)?;
    node.kubelet.remove(&after)?;
    anyhow::ensure!(reports.len() == 2, "there are {} reports", reports.len());
    let mut lines = vec!["two reports for two pods, exit 0 on SIGTERM".to_owned()];
    for (pod, outcome, findings) in [
        (&before, "Graceful", &[] as &[&str]),
        (&after, "ForceKilled", &["stop-signal-ignored", "grace-period-exceeded"]),
    ] {
        let report = reports.iter().find(|report| report["pod"]["uid"] == pod.uid.as_str());
        let mut facts = Facts::of(report.cloned().unwrap_or_default());
        who(&mut facts, pod);
        facts.is("/outcome", outcome);
        facts.findings(findings);
        facts.complete();
        lines.extend(facts.verdict()?);
    }
    Ok(lines)
}
