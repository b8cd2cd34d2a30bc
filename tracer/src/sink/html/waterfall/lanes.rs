//! Rows below the containers: how many connections were accepted, refused, closed and dropped, and when.

use super::axis::Axis;
use crate::report::{Report, TimelineEvent};
use crate::sink::words::{count, moment};
use maud::{Markup, html};

const HEIGHT: u32 = 24;
/// Counts nearer to each other than this share of the axis would overlap: they are added up.
const APART: f64 = 9.0;

/// One kind of event.
pub(super) struct Lane {
    kind: Kind,
    pills: Vec<Pill>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Accepted,
    Refused,
    Closed,
    Dropped,
}

/// A count, and when its first and its last were.
struct Pill {
    number: u64,
    from_ms: f64,
    to_ms: f64,
}

/// Those that have anything to show.
pub(super) fn lanes(report: &Report, axis: &Axis) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = [Kind::Accepted, Kind::Refused, Kind::Closed, Kind::Dropped]
        .map(|kind| Lane { kind, pills: Vec::new() })
        .into();
    for entry in &report.timeline {
        let lane = kind(entry.event).and_then(|kind| lanes.iter_mut().find(|lane| lane.kind == kind));
        if let (Some(lane), Some(number)) = (lane, entry.count) {
            lane.add(number, entry.at_ms, axis);
        }
    }
    lanes.retain(|lane| !lane.pills.is_empty());
    lanes
}

fn kind(event: TimelineEvent) -> Option<Kind> {
    match event {
        TimelineEvent::ConnectionsAccepted => Some(Kind::Accepted),
        TimelineEvent::ConnectionsRefused => Some(Kind::Refused),
        TimelineEvent::ConnectionsClosed => Some(Kind::Closed),
        TimelineEvent::ConnectionsDropped => Some(Kind::Dropped),
        TimelineEvent::PreStopStarted
        | TimelineEvent::PreStopEnded
        | TimelineEvent::StopSignalSent
        | TimelineEvent::StopSignalIgnored
        | TimelineEvent::StopSignalHandled
        | TimelineEvent::SignalForwarded
        | TimelineEvent::ListenerClosed
        | TimelineEvent::OomVictim
        | TimelineEvent::KillSent
        | TimelineEvent::ProcessExited
        | TimelineEvent::ContainerExited
        | TimelineEvent::ContainerRestarted
        | TimelineEvent::SandboxExited
        | TimelineEvent::EventsLost => None,
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Dropped => "dropped",
        }
    }
}

impl Lane {
    fn add(&mut self, number: u64, at_ms: f64, axis: &Axis) {
        match self.pills.last_mut() {
            Some(last) if axis.share(at_ms) - axis.share(last.from_ms) < APART => {
                last.number = last.number.saturating_add(number);
                last.to_ms = at_ms;
            }
            Some(_) | None => self.pills.push(Pill { number, from_ms: at_ms, to_ms: at_ms }),
        }
    }

    pub(super) fn label(&self) -> String {
        format!("connections {}", self.kind.word())
    }

    pub(super) fn draw(&self, axis: &Axis) -> Markup {
        let said: Vec<String> = self.pills.iter().map(|pill| pill.sentence(self.kind)).collect();
        html! {
            svg width="100%" height=(HEIGHT) role="img" aria-label=(said.join("; ")) {
                (axis.grid(HEIGHT))
                @for (pill, said) in self.pills.iter().zip(&said) {
                    svg.point x=(axis.place(pill.from_ms)) y="12" {
                        title { (said) }
                        g class={ "pill " (self.kind.word()) } {
                            rect x={ "-" (pill.half()) } y="-9" width=(pill.half() * 2) height="18" rx="9" {}
                            text y="4" text-anchor="middle" { (pill.number) }
                        }
                    }
                }
            }
        }
    }
}

impl Pill {
    /// Half of its width in pixels.
    fn half(&self) -> usize {
        6 + 4 * self.number.to_string().len()
    }

    fn sentence(&self, kind: Kind) -> String {
        let number = format!("{} {}", count(self.number, "connection"), kind.word());
        if self.to_ms > self.from_ms {
            format!("{number} from {} to {}", moment(self.from_ms), moment(self.to_ms))
        } else {
            format!("{number} at {}", moment(self.from_ms))
        }
    }
}
