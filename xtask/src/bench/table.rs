//! The tables for people: each column's loops over bare, the kernel's time a run, the figures, the bars.

use super::bars::{Bar, Verdict};
use super::columns::Column;
use super::rounds::{NEIGHBOURS, REPEATED};
use super::stats::{Store, percentile};
use crate::process;

const KINDS: [&str; 8] = ["control", "kill", "handler", "connect", "fork", "exec", "http", "nginx"];
const HOOKS: [&str; 5] =
    ["signal_generate", "sched_process_fork", "sched_process_exec", "sched_process_exit", "inet_sock_set_state"];

/// Nanoseconds an operation: median, and for all but the first column the ratio to it, lowest to highest.
pub(super) fn loops(store: &Store, columns: &[Column]) {
    process::heading(
        "ns an operation, the best slice of each round: median; × bare just before and after: median (lowest–highest)",
    );
    for kind in KINDS {
        println!("    {kind}");
        for column in columns {
            let Some(median) = store.median(column.name(), kind) else { continue };
            let mut ratios = store.ratios(column.name(), Column::Bare.name(), kind);
            ratios.sort_by(f64::total_cmp);
            let ratio = super::stats::median(ratios.clone()).unwrap_or(f64::NAN);
            let (low, high) = (ratios.first().unwrap_or(&f64::NAN), ratios.last().unwrap_or(&f64::NAN));
            println!("      {:<12} {median:>10.0}   × {ratio:.3} ({low:.2}–{high:.2})", column.name());
        }
        let neighbours = || store.values(NEIGHBOURS, kind).to_vec();
        if let Some((low, high)) = percentile(neighbours(), 25).zip(percentile(neighbours(), 75)) {
            println!("      one turn of bare over the one before it: {low:.2}–{high:.2} in half of all");
        }
        for repeated in store.values(REPEATED, kind) {
            println!("      turns made again, as the machine changed its pace meanwhile: {repeated:.0}");
        }
    }
}

/// Nanoseconds a run of each program.
pub(super) fn programs(store: &Store, columns: &[Column]) {
    process::heading("kernel time, ns a run of the program on each hook (bpf_stats_enabled), medians");
    let row = |name: &str, cells: Vec<String>| println!("    {name:<22}{}", cells.concat());
    row("", columns.iter().map(|column| format!("{:>12}", column.name())).collect());
    for hook in HOOKS {
        let cell = |column: &Column| match store.median(column.name(), &format!("run:{hook}")) {
            Some(ns) => format!("{ns:>12.0}"),
            None => format!("{:>12}", "–"),
        };
        row(hook, columns.iter().map(cell).collect());
    }
}

/// Everything that is no loop.
pub(super) fn figures(store: &Store) {
    process::heading("figures");
    for (who, what, values) in store.all().filter(|(who, ..)| ["gracetrace", "sigsnoop"].contains(who)) {
        let median = super::stats::median(values.to_vec()).unwrap_or(f64::NAN);
        let (low, high) =
            values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
        println!("    {who:<10} {what:<36} {median:>14.3}   ({low:.3}–{high:.3}, {} times)", values.len());
    }
}

/// Bar by bar; a void run is shown and not judged.
pub(super) fn bars(bars: &[Bar], is_void: bool) {
    process::heading("bars");
    for bar in bars {
        let verdict = match bar.verdict() {
            _ if is_void => "void",
            Verdict::Held => "held",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "open",
        };
        println!("    {:<4} {verdict:<7} {}\n                 {}", bar.name, bar.asks, bar.evidence());
    }
}
