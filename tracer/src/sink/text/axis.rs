//! One bar a container, all over one time axis: how long each phase took, and who left first.

use super::page::{Ink, Page, fit, width_of};
use crate::report::{Container, Report};
use crate::sink::words::container::label;
use crate::sink::words::ticks::ticks;

/// Widest name beside a bar.
const NAME_COLUMNS: usize = 20;
/// Room between two labels of the axis, in columns.
const TICK_COLUMNS: f64 = 11.0;

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Gone,
    Running,
    PreStop,
    Stopping,
    Overrun,
    Dying,
    Exited,
    Killed,
    Unseen,
}

impl Phase {
    const LEGEND: [Self; 8] = [
        Self::Running,
        Self::PreStop,
        Self::Stopping,
        Self::Overrun,
        Self::Dying,
        Self::Exited,
        Self::Killed,
        Self::Unseen,
    ];

    fn draw(self) -> (Ink, &'static str, &'static str) {
        match self {
            Self::Gone => (Ink::Plain, " ", ""),
            Self::Running => (Ink::Faint, "─", "running"),
            Self::PreStop => (Ink::Hook, "░", "preStop"),
            Self::Stopping => (Ink::Good, "▒", "stopping"),
            Self::Overrun => (Ink::Bad, "▓", "past the grace period"),
            Self::Dying => (Ink::Bad, "█", "after SIGKILL"),
            Self::Exited => (Ink::Plain, "│", "exited"),
            Self::Killed => (Ink::Bad, "✗", "ended by a signal"),
            Self::Unseen => (Ink::Warning, "?", "end not seen"),
        }
    }
}

pub(super) fn draw(page: &mut Page, report: &Report) {
    if report.containers.is_empty() {
        return;
    }
    page.heading("Containers");
    let names: Vec<String> = report.containers.iter().map(label).collect();
    let name_columns = names.iter().map(|name| width_of(name)).max().unwrap_or(0).min(NAME_COLUMNS);
    let before = name_columns + 4;
    let Some(scale) = Scale::of(report, page.width.saturating_sub(before + 1)) else {
        return;
    };
    let bars: Vec<Vec<Phase>> = report.containers.iter().map(|container| bar(container, report, &scale)).collect();
    for (name, bar) in names.iter().zip(&bars) {
        let name = format!("  {}  ", fit(name, name_columns));
        let mut pieces = vec![(Ink::Plain, name)];
        for run in bar.chunk_by(|one, other| one == other) {
            let (ink, block, _) = run[0].draw();
            pieces.push((ink, block.repeat(run.len())));
        }
        let pieces: Vec<(Ink, &str)> = pieces.iter().map(|(ink, text)| (*ink, text.as_str())).collect();
        page.line(&pieces);
    }
    let indent = " ".repeat(before);
    page.line(&[(Ink::Faint, &(indent.clone() + &scale.labels()))]);
    let used = Phase::LEGEND.into_iter().filter(|phase| bars.iter().any(|bar| bar.contains(phase)));
    let legend: Vec<String> = used.map(Phase::draw).map(|(_, block, word)| format!("{block} {word}")).collect();
    page.hanging(&[(Ink::Plain, &indent)], Ink::Faint, &legend.join(", "));
}

/// One cell a column, and one for the mark of the end.
fn bar(container: &Container, report: &Report, scale: &Scale) -> Vec<Phase> {
    let exit = container.exit.as_ref().map(|exit| exit.at_ms);
    let stop = container.stop.as_ref().map(|stop| stop.at_ms);
    let hook = container.pre_stop.as_ref();
    let busy = usize::from(stop.is_some()) + usize::from(hook.is_some()) + usize::from(container.kill.is_some());
    let end = exit.map_or(scale.columns, |at| scale.column(at).max(busy).min(scale.columns));
    let mut cells = vec![Phase::Gone; scale.columns + 1];
    let mut paint = |from: usize, to: usize, phase| {
        let to = to.min(end);
        if let Some(cells) = cells.get_mut(from.min(to)..to) {
            cells.fill(phase);
        }
    };
    paint(0, end, Phase::Running);
    if let Some(at) = stop {
        paint(scale.column(at), end, Phase::Stopping);
    }
    if let Some((hook, start)) = hook.and_then(|hook| Some((hook, hook.start_ms?))) {
        let from = scale.column(start);
        let to = hook.end_ms.or(stop).map_or(end, |at| scale.column(at));
        paint(from, to.max(from + 1), Phase::PreStop);
    }
    for (since, phase) in [
        (over_since(container, report), Phase::Overrun),
        (container.kill.as_ref().map(|kill| kill.at_ms), Phase::Dying),
    ] {
        if let Some(at) = since {
            paint(scale.column(at).min(end.saturating_sub(1)), end, phase);
        }
    }
    cells[end] = match &container.exit {
        None => Phase::Unseen,
        Some(exit) if exit.signal.is_some() => Phase::Killed,
        Some(_) => Phase::Exited,
    };
    cells
}

/// Since when it was living on borrowed time; a kill that ended the grace period speaks for itself.
fn over_since(container: &Container, report: &Report) -> Option<f64> {
    if container.kill.is_some() {
        return None;
    }
    let grace_ms = report.pod.termination_grace_period_seconds? * 1e3;
    (container.stop.is_some() && container.exit.as_ref()?.at_ms > grace_ms).then_some(grace_ms)
}

/// Milliseconds to columns.
struct Scale {
    span_ms: f64,
    columns: usize,
}

impl Scale {
    /// None if no time passed: a bar would show what never was.
    fn of(report: &Report, columns: usize) -> Option<Self> {
        let exits = report.containers.iter().filter_map(|container| container.exit.as_ref()).map(|exit| exit.at_ms);
        let span = exits.chain([report.duration_ms]).filter(|ms| ms.is_finite()).fold(0.0, f64::max);
        (span > 0.0).then_some(Self { span_ms: span, columns: columns.max(8) })
    }

    fn column(&self, ms: f64) -> usize {
        #[expect(clippy::cast_precision_loss, reason = "a terminal is narrower than 2^52 columns")]
        let place = (ms / self.span_ms).clamp(0.0, 1.0) * self.columns as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of columns; NaN becomes 0"
        )]
        let column = place.round() as usize;
        column
    }

    /// Round numbers, as many as have room.
    fn labels(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a terminal is narrower than 2^52 columns")]
        let least = self.span_ms * TICK_COLUMNS / self.columns as f64;
        let mut text = String::new();
        for (at, label) in ticks(self.span_ms, least) {
            let column = self.column(at);
            if column + width_of(&label) > self.columns + 1 {
                break;
            }
            text = fit(&text, column) + &label;
        }
        text
    }
}
