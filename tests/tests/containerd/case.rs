//! One pod with one container, its clients and its stop, as data; and what the report must say.

use crate::play::{Ended, PORT, Traced};
use gracetrace_tests::client::{self, End, Use};
use gracetrace_tests::clock::ms_between;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{Node, PodSpec};
use std::time::Duration;

/// A case. `Case::default()` is a graceful server without clients, and everything in order.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) grace_s: u32,
    /// Arguments of the victim after its listener; that is on port 8080 of all IPv4 addresses unless `listen` says otherwise.
    pub(crate) victim: &'static [&'static str],
    pub(crate) listen: &'static str,
    pub(crate) share_pids: bool,
    pub(crate) is_static: bool,
    pub(crate) is_nested: bool,
    /// Over which family the clients come, by turns; `true` is IPv6.
    pub(crate) over_ipv6: &'static [bool],
    pub(crate) clients: &'static [Use],
    /// So many late clients, so often, once the stop has had its effect.
    pub(crate) knocks: Option<(u32, Duration)>,
    pub(crate) outcome: &'static str,
    pub(crate) exit: Result<i32, &'static str>,
    /// Why the runtime killed it.
    pub(crate) kill_cause: Option<&'static str>,
    pub(crate) connections: Counts,
    pub(crate) findings: &'static [&'static str],
    /// What holds for this case alone.
    pub(crate) also: fn(&mut Ended) -> anyhow::Result<()>,
}

impl Case {
    /// A server that is still there when the grace period ends, with connections open.
    pub(crate) fn killed() -> Self {
        Self {
            grace_s: 2,
            victim: &["overrun"],
            outcome: "ForceKilled",
            exit: Err("SIGKILL"),
            kill_cause: Some("GracePeriodExpired"),
            findings: &["grace-period-exceeded", "connections-dropped"],
            ..Self::default()
        }
    }
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "",
            grace_s: 8,
            victim: &["graceful"],
            listen: PORT[1],
            share_pids: false,
            is_static: false,
            is_nested: false,
            over_ipv6: &[false],
            clients: &[],
            knocks: None,
            outcome: "Graceful",
            exit: Ok(0),
            kill_cause: None,
            connections: Counts::default(),
            findings: &[],
            also: |_| Ok(()),
        }
    }
}

/// Makes a scenario of a case; what it does not say is as in `Case::default()`, or as in another one that is named.
macro_rules! case {
    ($name:literal, { $($field:ident: $value:expr),* $(,)? }) => {
        case!($name, { $($field: $value),* }, Case::default())
    };
    ($name:literal, { $($field:ident: $value:expr),* $(,)? }, $otherwise:expr) => {
        Scenario {
            name: $name,
            play: |node: &Node| check(node, &Case { name: $name, $($field: $value,)* ..$otherwise }),
        }
    };
}
pub(crate) use case;

/// Plays a case: the report must hold every fact, and its log must replay to the same bytes.
pub(crate) fn check(node: &Node, case: &Case) -> anyhow::Result<Vec<String>> {
    let victim = [&[PORT[0], case.listen], case.victim].concat();
    let mut spec = PodSpec::new(case.name, case.grace_s, &victim);
    (spec.share_pids, spec.is_static, spec.is_nested) = (case.share_pids, case.is_static, case.is_nested);
    let mut traced = Traced::pod(node, &spec)?;
    for (&usage, &ipv6) in case.clients.iter().zip(case.over_ipv6.iter().cycle()) {
        let server = traced.pod.server_over(ipv6)?;
        traced.open_at(server, [usage])?;
    }
    let mut ended = match case.knocks {
        Some((count, every)) => traced.stop_with_knocks(count, every)?,
        None => traced.stop()?,
    };
    ended.facts.is("/outcome", case.outcome);
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    if let Some(cause) = case.kill_cause {
        ended.killed("app", cause);
        ended.took_from_handler_to_end(0)?;
    } else {
        ended.exited("app", case.exit);
        ended.not_killed("app");
        ended.took_what_the_victim_says("app")?;
    }
    // the numbers of a case are what its clients really saw
    let refused = client::count(&ended.knocked, End::Refused);
    ended.facts.is("/connections/refusedAfterListenerClose", refused);
    ended.connections(&case.connections);
    last_knock(&mut ended, "lastRefusedMs", true)?;
    last_knock(&mut ended, "lastAcceptedMs", false)?;
    ended.facts.findings(case.findings);
    (case.also)(&mut ended)?;
    ended.verdict()
}

/// When a late client came: between its call and its answer, on its own clock. The stop signal, from which the report
/// counts, was sent between the kubelet's call and the handler's start.
pub(crate) fn lag_of(ended: &Ended, knock: &client::Seen) -> anyhow::Result<(f64, f64)> {
    let handler = ended.pod.stamps("app").first("handler")?.at_ns;
    let low = ms_between(handler, knock.connect.0);
    Ok((low, ms_between(ended.endings[0].stop.0, knock.connect.1) + crate::play::tolerance_ms()))
}

/// The last late client that was refused, or was not.
fn last_knock(ended: &mut Ended, what: &str, refused: bool) -> anyhow::Result<()> {
    let at = format!("/connections/{what}");
    let Some(knock) = ended.knocked.iter().rfind(|knock| (knock.end == End::Refused) == refused) else {
        ended.facts.is(&at, serde_json::Value::Null);
        return Ok(());
    };
    let (low, high) = lag_of(ended, knock)?;
    ended.facts.between(&at, low, high);
    Ok(())
}
