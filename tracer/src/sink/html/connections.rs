//! What became of the connections: the counts in words, then one by one, what was lost first.

use super::{View, section};
use crate::report::{Connection, ConnectionEnd, Work};
use crate::sink::words::connections::{age, ends, facts, how, size, work};
use crate::sink::words::{UNKNOWN, moment};
use maud::{Markup, html};

/// How many are listed; the JSON has them all.
const LISTED: usize = 200;

pub(super) fn draw(view: &View<'_>) -> Markup {
    let connections = &view.report.connections;
    let mut listed: Vec<&Connection> = connections.details.iter().collect();
    listed.sort_by_key(|connection| connection.rank());
    listed.truncate(LISTED);
    let left = connections.details.len().saturating_sub(LISTED) as u64;
    let more = connections.details_omitted.saturating_add(left);
    let content = html! {
        ul.counts {
            @for fact in facts(&connections.counts, &view.report.containers) { li { (fact) } }
        }
        @if !listed.is_empty() { (table(view, &listed)) }
        @if more > 0 { p.more { "… and " (more) " more, which are in the counts" } }
    };
    section(view, "connections", "Connections", &content)
}

fn table(view: &View<'_>, listed: &[&Connection]) -> Markup {
    let several = view.report.containers.len() > 1;
    let bytes = |number: Option<u64>| number.map_or_else(|| UNKNOWN.to_owned(), size);
    html! {
        div.scroll role="region" aria-labelledby=(view.id("connections")) tabindex="0" {
            table {
                thead {
                    tr {
                        th.number scope="col" { "Ended" }
                        th scope="col" { "Connection" }
                        @if several { th scope="col" { "Container" } }
                        @for heading in ["How", "Lost with it"] { th scope="col" { (heading) } }
                        @for heading in ["Received", "Sent", "Age"] { th.number scope="col" { (heading) } }
                    }
                }
                tbody {
                    @for connection in listed {
                        tr class=(class(connection)) {
                            td.number { (connection.at_ms.map_or_else(|| UNKNOWN.to_owned(), moment)) }
                            td.address { (ends(connection)) (tags(connection)) }
                            @if several { td { (connection.container.as_deref().unwrap_or(UNKNOWN)) } }
                            td.how { (how(connection)) }
                            td.work { (work(connection.work)) }
                            td.number { (bytes(connection.bytes_received)) }
                            td.number { (bytes(connection.bytes_sent)) }
                            td.number { (age(connection)) }
                        }
                    }
                }
            }
        }
    }
}

/// What is special about it.
fn tags(connection: &Connection) -> Markup {
    let tags =
        [(connection.internal, "inside the pod"), (connection.from_kubelet, "kubelet"), (connection.mptcp, "MPTCP")];
    html! { @for (_, tag) in tags.into_iter().filter(|(is, _)| *is) { " " span.chip { (tag) } } }
}

fn class(connection: &Connection) -> &'static str {
    let lost = match connection.work {
        Work::RequestUnread | Work::RequestUnanswered | Work::ResponseUnsent => true,
        Work::Idle | Work::Unknown => false,
    };
    match connection.end {
        ConnectionEnd::DroppedByKill | ConnectionEnd::ClosedAtExit | ConnectionEnd::RefusedInBacklog if lost => {
            "cut lost"
        }
        ConnectionEnd::DroppedByKill | ConnectionEnd::ClosedAtExit | ConnectionEnd::RefusedInBacklog => "cut",
        ConnectionEnd::ClosedGracefully
        | ConnectionEnd::ResetByPeer
        | ConnectionEnd::TimedOut
        | ConnectionEnd::StillOpen
        | ConnectionEnd::Unknown
            if lost =>
        {
            "lost"
        }
        ConnectionEnd::ClosedGracefully
        | ConnectionEnd::ResetByPeer
        | ConnectionEnd::TimedOut
        | ConnectionEnd::StillOpen
        | ConnectionEnd::Unknown => "whole",
    }
}
