//! What became of the connections: sentences first, then the ones that matter most, one by one.

use super::page::{Column, Ink, Page};
use crate::report::{Connection, Report};
use crate::sink::words::connections::{age, ends, how, sentence, size, work};
use crate::sink::words::{UNKNOWN, moment};

/// How many are listed; the JSON has them all.
const LISTED: usize = 8;

pub(super) fn draw(page: &mut Page, report: &Report) {
    page.heading("Connections");
    let counts = &report.connections.counts;
    page.hanging(&[(Ink::Plain, "  ")], Ink::Plain, &sentence(counts, &report.containers));
    let details = &report.connections.details;
    if !details.is_empty() {
        page.blank();
        let mut listed: Vec<&Connection> = details.iter().collect();
        listed.sort_by_key(|connection| connection.rank());
        listed.truncate(LISTED);
        draw_table(page, &listed, report.containers.len() > 1);
    }
    let more = report.connections.details_omitted.saturating_add(details.len().saturating_sub(LISTED) as u64);
    if more > 0 {
        page.line(&[(Ink::Faint, &format!("  … and {more} more"))]);
    }
}

fn draw_table(page: &mut Page, listed: &[&Connection], several: bool) {
    let column = |heading, cell: &dyn Fn(&Connection) -> String| Column {
        heading,
        cells: listed.iter().map(|connection| cell(connection)).collect(),
    };
    let bytes = |number: Option<u64>| number.map_or_else(|| UNKNOWN.to_owned(), size);
    let mut columns = vec![
        column("ended", &|connection| connection.at_ms.map_or_else(|| UNKNOWN.to_owned(), moment)),
        column("connection", &ends),
        column("how", &how),
        column("lost with it", &|connection| work(connection.work).to_owned()),
    ];
    if several {
        columns.push(column("container", &|connection| connection.container.clone().unwrap_or(UNKNOWN.to_owned())));
    }
    columns.push(column("received", &|connection| bytes(connection.bytes_received)));
    columns.push(column("sent", &|connection| bytes(connection.bytes_sent)));
    columns.push(column("age", &age));
    page.table(columns, 4, 1);
}
