//! A container's row: what it was doing when, as a bar, and what was done to it, as marks.

use super::axis::{Axis, percent};
use crate::report::{Container, Report};
use crate::sink::words::container::label;
use crate::sink::words::{duration, moment};
use maud::{Markup, html};

/// Height of a row, and where in it the bar is.
const HEIGHT: u32 = 48;
const BAR_Y: u32 = 17;
const BAR_HEIGHT: u32 = 20;
const MIDDLE: u32 = BAR_Y + BAR_HEIGHT / 2;
/// Narrower than this share of the axis, a phase past the grace period is the kubelet's own pace.
const VISIBLE: f64 = 1.0;
/// Shares of the axis from which on a bar has room for its length, and for its name as well.
const ROOM: f64 = 15.0;
const MUCH_ROOM: f64 = 36.0;

/// What is drawn, in the order of the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Running,
    PreStop,
    Draining,
    Overrun,
    Dying,
    Stop,
    ListenersClosed,
    Kill,
    Exited,
    Killed,
    Unseen,
}

impl Mark {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::PreStop => "preStop hook",
            Self::Draining => "stopping",
            Self::Overrun => "past the grace period",
            Self::Dying => "after SIGKILL",
            Self::Stop => "stop signal",
            Self::ListenersClosed => "last listener closed",
            Self::Kill => "SIGKILL",
            Self::Exited => "exited",
            Self::Killed => "ended by a signal",
            Self::Unseen => "end not seen",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::PreStop => "prestop",
            Self::Draining => "draining",
            Self::Overrun => "over",
            Self::Dying => "dying",
            Self::Stop => "stop",
            Self::ListenersClosed => "listeners",
            Self::Kill => "kill",
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::Unseen => "unseen",
        }
    }

    /// The shape of a mark around 0, 0; nothing for a phase.
    fn shape(self) -> Option<&'static str> {
        match self {
            Self::Running | Self::PreStop | Self::Draining | Self::Overrun | Self::Dying => None,
            Self::Stop => Some("M-5,-5H5L0,4Z"),
            Self::Kill => Some("M-6,-6H6L0,5Z M-2.5,-4L2.5,0 M2.5,-4L-2.5,0"),
            Self::ListenersClosed => Some("M0,-4L4,0L0,4L-4,0Z"),
            Self::Exited => Some("M0,-13V13 M-4,-13H4 M-4,13H4"),
            Self::Killed => Some("M-6,-6L6,6 M6,-6L-6,6"),
            Self::Unseen => Some("M-4,-4C-4,-9 4,-9 4,-4C4,0 0,-1 0,3 M0,7V8"),
        }
    }

    /// A small one for the legend.
    pub(super) fn swatch(self) -> Markup {
        html! {
            svg.swatch width="22" height="16" aria-hidden="true" {
                @if let Some(shape) = self.shape() {
                    g transform={ "translate(11,8) scale(" (if self == Self::Exited { "0.6" } else { "1" }) ")" } {
                        path class={ "mark " (self.class()) } d=(shape) {}
                    }
                } @else if self == Self::Running {
                    line.running x1="1" x2="21" y1="8" y2="8" {}
                } @else {
                    g class={ "phase " (self.class()) } {
                        rect.fill x="1" y="2" width="20" height="12" {}
                        rect.hatch x="1" y="2" width="20" height="12" {}
                    }
                }
            }
        }
    }
}

/// A container, and the phases of its end.
pub(super) struct Bar<'a> {
    pub(super) container: &'a Container,
    phases: Vec<(Mark, f64, f64)>,
    end_ms: f64,
}

impl<'a> Bar<'a> {
    pub(super) fn of(container: &'a Container, report: &Report) -> Self {
        let stop = container.stop.as_ref().map(|stop| stop.at_ms);
        let kill = container.kill.as_ref().map(|kill| kill.at_ms);
        let exit = container.exit.as_ref().map(|exit| exit.at_ms);
        let end_ms = exit.unwrap_or(report.duration_ms);
        let grace = report.pod.termination_grace_period_seconds.map(|seconds| seconds * 1e3);
        let mut phases = Vec::new();
        if let Some((hook, start)) = container.pre_stop.as_ref().and_then(|hook| Some((hook, hook.start_ms?))) {
            phases.push((Mark::PreStop, start, hook.end_ms.or(stop).unwrap_or(end_ms)));
        }
        let until = kill.unwrap_or(end_ms);
        if let Some(at) = stop {
            // what went on past the grace period is drawn as that
            let over = grace.filter(|grace| *grace < until).map(|grace| grace.max(at));
            phases.push((Mark::Draining, at, over.unwrap_or(until)));
            phases.extend(over.map(|over| (Mark::Overrun, over, until)));
        }
        phases.extend(kill.map(|at| (Mark::Dying, at, end_ms)));
        phases.retain(|(_, from, to)| from.is_finite() && to.is_finite() && from <= to);
        Self { container, phases, end_ms }
    }

    /// Those that it has.
    pub(super) fn marks(&self, axis: &Axis) -> Vec<Mark> {
        let phases = self.shown(axis).map(|(mark, _, _)| mark);
        phases.chain(self.runs_before().map(|_| Mark::Running)).chain(self.points().map(|(mark, _)| mark)).collect()
    }

    pub(super) fn draw(&self, axis: &Axis) -> Markup {
        html! {
            svg width="100%" height=(HEIGHT) role="img" aria-label=(self.sentence(axis)) {
                (axis.grid(HEIGHT))
                @if let Some(until) = self.runs_before() {
                    line.running x1="0" x2=(axis.place(until)) y1=(MIDDLE) y2=(MIDDLE) {}
                }
                @for (mark, from, to) in self.shown(axis) { (phase(mark, from, to, axis)) }
                @for (mark, at) in self.points() { (point(mark, at, axis)) }
            }
        }
    }

    fn shown(&self, axis: &Axis) -> impl Iterator<Item = (Mark, f64, f64)> {
        self.phases
            .iter()
            .copied()
            .filter(|(mark, from, to)| *mark != Mark::Overrun || axis.share(*to) - axis.share(*from) >= VISIBLE)
    }

    /// Until when nothing was done to it.
    fn runs_before(&self) -> Option<f64> {
        let first = self.phases.iter().map(|(_, from, _)| *from).fold(self.end_ms, f64::min);
        (first > 0.0).then_some(first)
    }

    /// What happened at one moment.
    fn points(&self) -> impl Iterator<Item = (Mark, f64)> {
        let container = self.container;
        let end = match &container.exit {
            None => Mark::Unseen,
            Some(exit) if exit.signal.is_some() => Mark::Killed,
            Some(_) => Mark::Exited,
        };
        let points = [
            container.listeners_closed_ms.map(|at| (Mark::ListenersClosed, at)),
            container.stop.as_ref().map(|stop| (Mark::Stop, stop.at_ms)),
            container.kill.as_ref().map(|kill| (Mark::Kill, kill.at_ms)),
            Some((end, self.end_ms)),
        ];
        points.into_iter().flatten()
    }

    /// The row for those who cannot see it.
    fn sentence(&self, axis: &Axis) -> String {
        let phases = self
            .shown(axis)
            .map(|(mark, from, to)| format!("{} from {} for {}", mark.words(), moment(from), duration(to - from)));
        let points = self.points().map(|(mark, at)| format!("{} at {}", mark.words(), moment(at)));
        let all: Vec<String> = phases.chain(points).collect();
        format!("{}: {}", label(self.container), all.join("; "))
    }
}

fn phase(mark: Mark, from: f64, to: f64, axis: &Axis) -> Markup {
    let share = axis.share(to) - axis.share(from);
    let (x, width, took) = (axis.place(from), percent(share), duration(to - from));
    let text = match share {
        share if share >= MUCH_ROOM => format!("{} {took}", mark.words()),
        share if share >= ROOM => took.clone(),
        _ => String::new(),
    };
    html! {
        g class={ "phase " (mark.class()) } {
            title { (mark.words()) ": " (took) ", from " (moment(from)) " to " (moment(to)) }
            rect.fill x=(x) y=(BAR_Y) width=(width) height=(BAR_HEIGHT) {}
            rect.hatch x=(x) y=(BAR_Y) width=(width) height=(BAR_HEIGHT) {}
            @if !text.is_empty() { text x=(x) y=(MIDDLE + 4) dx="10" { (text) } }
        }
    }
}

fn point(mark: Mark, at: f64, axis: &Axis) -> Markup {
    let y = match mark {
        Mark::Stop | Mark::Kill => BAR_Y - 7,
        Mark::ListenersClosed => BAR_Y + BAR_HEIGHT + 5,
        Mark::Running
        | Mark::PreStop
        | Mark::Draining
        | Mark::Overrun
        | Mark::Dying
        | Mark::Exited
        | Mark::Killed
        | Mark::Unseen => MIDDLE,
    };
    html! {
        @if let Some(shape) = mark.shape() {
            svg.point x=(axis.place(at)) y=(y) {
                title { (mark.words()) " at " (moment(at)) }
                path class={ "mark " (mark.class()) } d=(shape) {}
            }
        }
    }
}
