//! A kubelet goes on probing a pod that is being stopped: that is no client who came too late.

use crate::outside::Outside;
use crate::play::{PORT, Traced};
use gracetrace_tests::client::{End, Knocks, count};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{Node, PodSpec};
use serde_json::Value;
use std::time::Duration;

/// Ten probes, one every 100 ms.
const TEN: [&str; 2] = ["10", "100"];

/// The pod still listens: the probes are answered, and nobody else came.
pub(crate) fn accepted(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("kubelet-accepted", 8, &[PORT[0], PORT[1], "--accept-for", "3000", "graceful"]);
    let mut ended = Traced::pod(node, &spec)?.stop_while(|pod| {
        let kubelet = Outside::start(node, "kubelet", &["knock", &pod.server.to_string(), TEN[0], TEN[1]])?;
        anyhow::ensure!(kubelet.counts(["answered", "refused"])? == [10, 0], "the kubelet was refused");
        Ok(Vec::new())
    })?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.counts(
        &Counts { opened_after_stop: 10, accepted_after_stop: 10, closed_gracefully: 10, ..Counts::default() },
        true,
    );
    ended.facts.is("/connections/acceptedFromKubelet", 10);
    ended.facts.is("/connections/lastAcceptedMs", Value::Null);
    ended.facts.findings(&[]);
    ended.verdict()
}

/// The listener is closed: the probes are refused, and nobody else came.
pub(crate) fn refused(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("kubelet-refused", 8, &[PORT[0], PORT[1], "slow-drain", "3000"]);
    let mut ended = Traced::pod(node, &spec)?.stop_while(|pod| {
        let kubelet = Outside::start(node, "kubelet", &["knock", &pod.server.to_string(), TEN[0], TEN[1]])?;
        anyhow::ensure!(kubelet.counts(["answered", "refused"])? == [0, 10], "the kubelet was let in");
        Ok(Vec::new())
    })?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.counts(&Counts { refused: 10, ..Counts::default() }, true);
    ended.facts.is("/connections/refusedToKubelet", 10);
    ended.facts.is("/connections/lastRefusedMs", Value::Null);
    ended.facts.findings(&[]);
    ended.verdict()
}

/// Clients come beside the probes: the findings count the clients alone.
pub(crate) fn beside_clients(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("kubelet-beside-clients", 8, &[PORT[0], PORT[1], "slow-drain", "3000"]);
    let mut ended = Traced::pod(node, &spec)?.stop_while(|pod| {
        let kubelet = Outside::start(node, "kubelet", &["knock", &pod.server.to_string(), TEN[0], TEN[1]])?;
        let clients = Knocks::begin(pod.server, 5, Duration::from_millis(130)).seen()?;
        anyhow::ensure!(kubelet.counts(["answered", "refused"])? == [0, 10], "the kubelet was let in");
        Ok(clients)
    })?;
    ended.facts.holds(count(&ended.knocked, End::Refused) == 5, "five clients were refused", "they were not");
    ended.facts.counts(&Counts { refused: 15, ..Counts::default() }, true);
    ended.facts.is("/connections/refusedToKubelet", 10);
    ended.facts.findings(&["connections-refused", "listener-closed-early"]);
    let findings = ended.facts.at("/findings").as_array().cloned().unwrap_or_default();
    let told = findings.iter().any(|one| one["summary"].as_str().is_some_and(|text| text.starts_with("5 attempts")));
    ended.facts.holds(told, "the finding tells of 5 attempts", &format!("{findings:?}"));
    ended.verdict()
}
