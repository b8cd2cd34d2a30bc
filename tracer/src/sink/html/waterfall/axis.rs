//! The time axis that all rows share: moments to places, grid, labels.

use crate::report::Report;
use crate::sink::words::ticks::{Tick, ticks};
use maud::{Markup, html};

/// Labels of the axis at most: as many as a phone has room for.
const LABELS: f64 = 6.0;
/// An end of the grace period that comes this much later than everything else is still drawn.
const BEYOND: f64 = 1.3;

/// Milliseconds to percentages of the width.
pub(super) struct Axis {
    span_ms: f64,
    /// The end of the grace period, if it is on the axis.
    pub(super) grace_ms: Option<f64>,
    ticks: Vec<Tick>,
}

impl Axis {
    /// None if no time passed: a bar would show what never was.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let exits = report.containers.iter().filter_map(|container| container.exit.as_ref()).map(|exit| exit.at_ms);
        let span = exits.chain([report.duration_ms]).filter(|ms| ms.is_finite()).fold(0.0, f64::max);
        let stopped = report.containers.iter().any(|container| container.stop.is_some());
        let grace = report.pod.termination_grace_period_seconds.map(|seconds| seconds * 1e3);
        let grace_ms = grace.filter(|grace| stopped && *grace > 0.0 && *grace <= span * BEYOND);
        let span_ms = span.max(grace_ms.unwrap_or(0.0));
        (span_ms > 0.0).then(|| Self { span_ms, grace_ms, ticks: ticks(span_ms, span_ms / LABELS) })
    }

    /// From 0 to 100.
    pub(super) fn share(&self, ms: f64) -> f64 {
        let share = ms / self.span_ms * 100.0;
        if share.is_finite() { share.clamp(0.0, 100.0) } else { 0.0 }
    }

    /// As an attribute of SVG.
    pub(super) fn place(&self, ms: f64) -> String {
        percent(self.share(ms))
    }

    /// Lines at the labels, and the end of the grace period, through a row of that height.
    pub(super) fn grid(&self, height: u32) -> Markup {
        html! {
            @for (at, _) in &self.ticks {
                line.grid x1=(self.place(*at)) x2=(self.place(*at)) y1="0" y2=(height) {}
            }
            @if let Some(at) = self.grace_ms {
                line.grace x1=(self.place(at)) x2=(self.place(at)) y1="0" y2=(height) {}
            }
        }
    }

    /// The labels.
    pub(super) fn draw(&self) -> Markup {
        html! {
            svg width="100%" height="20" aria-hidden="true" {
                @for (at, label) in &self.ticks {
                    line.grid x1=(self.place(*at)) x2=(self.place(*at)) y1="0" y2="4" {}
                    text x=(self.place(*at)) y="16" text-anchor="middle" { (label) }
                }
            }
        }
    }
}

/// Two decimals: a tenth of a pixel on the widest screen.
pub(super) fn percent(share: f64) -> String {
    format!("{share:.2}%")
}
