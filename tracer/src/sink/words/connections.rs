//! What became of the connections, in words: the counts as sentences, and each connection's own words.

use super::{UNKNOWN, count, duration, moment};
use crate::report::{Connection, ConnectionCounts, ConnectionEnd, Container, Direction, Work};

/// The counts in words; `containers` are those they are about.
pub(in crate::sink) fn sentence(counts: &ConnectionCounts, containers: &[Container]) -> String {
    facts(counts, containers).join("; ")
}

/// The same, one by one; never none.
pub(in crate::sink) fn facts(counts: &ConnectionCounts, containers: &[Container]) -> Vec<String> {
    let stop_ms = containers.iter().filter_map(|container| container.stop.as_ref()).map(|stop| stop.at_ms);
    let stop_ms = stop_ms.reduce(f64::min);
    let before = if stop_ms.is_some() { "at the stop signal" } else { "at the end" };
    let mut parts = Vec::new();
    if let Some(open) = counts.open_at_stop.filter(|open| *open > 0) {
        parts.push(format!("{} open {before}", count(open, "connection")));
    }
    // only the first number says of what
    let number =
        |parts: &[String], number| if parts.is_empty() { count(number, "connection") } else { number.to_string() };
    let lost = lost(counts, |lost| number(&parts, lost));
    parts.extend(lost);
    if counts.closed_gracefully > 0 {
        let closed = number(&parts, counts.closed_gracefully);
        parts.push(match counts.closed_unanswered {
            0 => format!("{closed} closed gracefully"),
            some => format!("{closed} closed by the living process, {some} of them with a request unanswered"),
        });
    }
    let ends = [
        (counts.refused_in_backlog, "never accepted"),
        (counts.reset_by_peer, "reset by the peer"),
        (counts.timed_out, "given up, as the peer answered no more"),
        (counts.still_open, "still open"),
        (counts.unknown, "ended in a way that is not known"),
        (counts.reset, "ended with a reset"),
        (counts.outbound, "opened by the pod itself"),
    ];
    for (some, what) in ends.into_iter().filter(|(some, _)| *some > 0) {
        let some = if what.starts_with("ended with") || what.starts_with("opened") {
            format!("{} of them {what}", number(&parts, some))
        } else {
            format!("{} {what}", number(&parts, some))
        };
        parts.push(some);
    }
    if let Some(accepted) = counts.accepted_after_stop.filter(|accepted| *accepted > 0) {
        let latest = counts.last_accepted_ms.map(|at| later(at, stop_ms, accepted));
        let accepted = number(&parts, accepted);
        parts.push(format!("{accepted} accepted after the stop signal{}", latest.unwrap_or_default()));
    }
    if let Some(refused) = counts.refused_after_listener_close.filter(|refused| *refused > 0) {
        let closed_ms = containers.iter().filter_map(|container| container.listeners_closed_ms).reduce(f64::max);
        let latest = counts.last_refused_ms.map(|at| later(at, closed_ms, refused));
        let refused = number(&parts, refused);
        parts.push(format!("{refused} refused after the listener had closed{}", latest.unwrap_or_default()));
    }
    if counts.internal > 0 {
        let internal = count(counts.internal, "connection");
        parts.push(format!("{internal} between processes of the pod, not counted here"));
    }
    let unknown = unknown(counts, containers, before);
    if parts.is_empty() {
        parts.push(if unknown.is_some() { "none seen" } else { "none" }.to_owned());
    }
    parts.extend(unknown);
    parts
}

fn lost(counts: &ConnectionCounts, number: impl Fn(u64) -> String) -> Option<String> {
    let (dropped, at_exit) = (counts.dropped_by_kill, counts.closed_at_exit);
    let mut ways = Vec::new();
    if dropped > 0 {
        ways.push(format!(
            "{} dropped by {}",
            number(dropped),
            counts.dropped_by.as_deref().unwrap_or("a fatal signal")
        ));
    }
    if at_exit > 0 {
        let at_exit = if ways.is_empty() { number(at_exit) } else { at_exit.to_string() };
        ways.push(format!("{at_exit} closed by the kernel when the process exited"));
    }
    let total = dropped.saturating_add(at_exit);
    let flight = match counts.in_flight {
        _ if total == 0 => return None,
        0 if counts.in_flight_unknown == total => "with a request in flight or not, that is not known".to_owned(),
        0 => "none with a request in flight".to_owned(),
        1 if total == 1 => "with a request in flight".to_owned(),
        all if all == total => "all of them with a request in flight".to_owned(),
        some => format!("{some} of them with a request in flight"),
    };
    let unknown = match counts.in_flight_unknown {
        0 => String::new(),
        all if all == total => String::new(),
        some => format!(" ({some} not known)"),
    };
    Some(format!("{}, {flight}{unknown}", ways.join(" and ")))
}

/// `, the last 3.1 s later`, or when it was if what it came after is not known.
fn later(at_ms: f64, since_ms: Option<f64>, number: u64) -> String {
    let which = if number == 1 { "" } else { "the last " };
    match since_ms {
        Some(since) => format!(", {which}{} later", duration(at_ms - since)),
        None => format!(", {which}at {}", moment(at_ms)),
    }
}

/// What cannot be said; only where there was something to know.
fn unknown(counts: &ConnectionCounts, containers: &[Container], before: &str) -> Option<String> {
    let mut facts = Vec::new();
    if counts.open_at_stop.is_none() {
        facts.push(format!("were open {before}"));
    }
    if counts.accepted_after_stop.is_none() && containers.iter().any(|container| container.stop.is_some()) {
        facts.push("were accepted after the stop signal".to_owned());
    }
    let closed = containers.iter().any(|container| container.listeners_closed_ms.is_some());
    if counts.refused_after_listener_close.is_none() && closed {
        facts.push("were refused after the listener had closed".to_owned());
    }
    let last = facts.pop()?;
    let all = if facts.is_empty() { last } else { format!("{} and {last}", facts.join(", ")) };
    Some(format!("how many {all} is not known"))
}

/// Exact where its beginning was seen, else at least so much.
pub(in crate::sink) fn age(connection: &Connection) -> String {
    let at_least = connection.age_at_least_ms.map(|ms| format!("≥ {}", duration(ms)));
    connection.age_ms.map(duration).or(at_least).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// `10.88.0.1:45540 → :8080`: who opened it stands left; the pod's own address is one and the same.
pub(in crate::sink) fn ends(connection: &Connection) -> String {
    let port = connection.local.rsplit_once(':').map_or(connection.local.as_str(), |(_, port)| port);
    let peer = &connection.peer;
    match connection.direction {
        _ if connection.internal => format!("{peer} ↔ {}", connection.local),
        Direction::Inbound => format!("{peer} → :{port}"),
        Direction::Outbound => format!(":{port} → {peer}"),
        Direction::Unknown => format!("{peer} ↔ :{port}"),
    }
}

/// What became of it.
pub(in crate::sink) fn how(connection: &Connection) -> String {
    let end = match connection.end {
        ConnectionEnd::ClosedGracefully => "closed",
        ConnectionEnd::ClosedAtExit => "closed by exit",
        ConnectionEnd::DroppedByKill => "dropped",
        ConnectionEnd::ResetByPeer => return "reset by peer".to_owned(),
        ConnectionEnd::TimedOut => return "timed out".to_owned(),
        ConnectionEnd::StillOpen => return "still open".to_owned(),
        ConnectionEnd::RefusedInBacklog => "never accepted",
        ConnectionEnd::Unknown => UNKNOWN,
    };
    if connection.reset { format!("{end}, reset") } else { end.to_owned() }
}

/// What was lost with it.
pub(in crate::sink) fn work(work: Work) -> &'static str {
    match work {
        Work::RequestUnread => "request unread",
        Work::RequestUnanswered => "request unanswered",
        Work::ResponseUnsent => "response unsent",
        Work::Idle => "nothing, idle",
        Work::Unknown => UNKNOWN,
    }
}

/// `318 B`, `1.2 KiB`.
pub(in crate::sink) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1023.95 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}
