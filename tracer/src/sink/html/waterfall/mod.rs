//! The chart: one row a container over one time axis, the pod's connections below.
//!
//! Places are percentages and heights are pixels, so the chart fits any width and its text keeps its
//! size. Each row is a picture with a sentence for those who cannot see it; no phase differs from
//! another by its colour alone.

mod axis;
mod bar;
mod lanes;

use super::{View, section};
use crate::sink::words::container::{label, role};
use crate::sink::words::{chosen, container as words};
use axis::Axis;
use bar::Mark;
use maud::{Markup, html};

/// The hatchings, once a page.
pub(super) fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            defs {
                pattern id="hatch-prestop" width="6" height="6" patternUnits="userSpaceOnUse" {
                    circle cx="3" cy="3" r="1.1" {}
                }
                pattern id="hatch-over" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="3" height="7" {}
                }
                pattern id="hatch-dying" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)" {
                    rect width="2" height="5" {}
                }
            }
        }
    }
}

pub(super) fn draw(view: &View<'_>) -> Markup {
    let report = view.report;
    let axis = Axis::of(report).filter(|_| !report.containers.is_empty());
    let Some(axis) = axis else { return Markup::default() };
    let bars: Vec<bar::Bar<'_>> = report.containers.iter().map(|container| bar::Bar::of(container, report)).collect();
    let lanes = lanes::lanes(report, &axis);
    let mut marks: Vec<Mark> = bars.iter().flat_map(|bar| bar.marks(&axis)).collect();
    marks.sort_unstable();
    marks.dedup();
    let chart = html! {
        figure.waterfall {
            @if let Some(at) = axis.grace_ms { (grace_row(&axis, at)) }
            @for bar in &bars {
                div.row {
                    p.label {
                        b { bdi { (label(bar.container)) } }
                        span.role { (role(bar.container.role)) }
                        span.exit { (words::ending(bar.container)) }
                    }
                    div.plot { (bar.draw(&axis)) }
                }
            }
            @for lane in &lanes {
                div.row.lane {
                    p.label { (lane.label()) }
                    div.plot { (lane.draw(&axis)) }
                }
            }
            div.row.scale { p.label aria-hidden="true" {} div.plot { (axis.draw()) } }
            figcaption { ul.legend { @for mark in marks { li { (mark.swatch()) (mark.words()) } } } }
        }
    };
    section(view, "chart", "What took how long", &chart)
}

/// Above the rows, where the mark of the grace period's end is named.
fn grace_row(axis: &Axis, at_ms: f64) -> Markup {
    let words = format!("grace period of {} over", chosen(at_ms));
    let (x, anchor) = (axis.place(at_ms), if axis.share(at_ms) > 55.0 { "end" } else { "start" });
    html! {
        div.row.grace {
            p.label aria-hidden="true" {}
            div.plot {
                svg width="100%" height="18" role="img" aria-label=(words) {
                    text x=(x) y="12" text-anchor=(anchor) { (words) }
                }
            }
        }
    }
}
