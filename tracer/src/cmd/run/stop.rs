//! The kubelet's part: when the stop signal goes out, and when SIGKILL. Pure: what happened goes in,
//! what to do comes out.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// gracetrace was told to stop: Ctrl-C, SIGTERM.
    Told,
    /// `--stop-after` has passed.
    StopAfter,
    /// The grace period has passed.
    GraceOver,
    /// The command's main process has gone.
    Gone,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing.
    Nothing,
    /// Send the stop signal, and begin to count the grace period.
    Stop,
    /// Send SIGKILL.
    Kill,
    /// End without a report: somebody insists.
    GiveUp,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The command runs.
    Running,
    /// The stop signal was sent.
    Stopping,
    /// SIGKILL was sent.
    Killed,
    /// The main process has gone.
    Gone,
}

impl Phase {
    /// Takes what happened, gives what to do.
    pub(super) fn on(&mut self, happened: Happened) -> Act {
        let (next, act) = match (*self, happened) {
            (_, Happened::Gone) => (Self::Gone, Act::Nothing),
            (Self::Running, Happened::Told | Happened::StopAfter) => (Self::Stopping, Act::Stop),
            (Self::Stopping, Happened::Told | Happened::GraceOver) => (Self::Killed, Act::Kill),
            (Self::Killed, Happened::Told) => (*self, Act::GiveUp),
            // once it has gone, the report is on its way
            (Self::Gone, Happened::Told | Happened::StopAfter | Happened::GraceOver)
            | (Self::Running, Happened::GraceOver)
            | (Self::Stopping, Happened::StopAfter)
            | (Self::Killed, Happened::StopAfter | Happened::GraceOver) => (*self, Act::Nothing),
        };
        *self = next;
        act
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(happened: &[Happened], acts: &[Act]) {
        let mut phase = Phase::Running;
        let done: Vec<Act> = happened.iter().map(|happened| phase.on(*happened)).collect();
        assert_eq!(done, acts, "{happened:?}");
    }

    #[test]
    fn stops_then_kills() {
        check(&[Happened::StopAfter, Happened::GraceOver, Happened::Gone], &[Act::Stop, Act::Kill, Act::Nothing]);
        check(&[Happened::StopAfter, Happened::Gone, Happened::GraceOver], &[Act::Stop, Act::Nothing, Act::Nothing]);
        check(&[Happened::Told, Happened::StopAfter, Happened::Told], &[Act::Stop, Act::Nothing, Act::Kill]);
        check(&[Happened::Gone, Happened::StopAfter], &[Act::Nothing, Act::Nothing]);
    }

    #[test]
    fn gives_up_when_somebody_insists() {
        check(&[Happened::Told; 3], &[Act::Stop, Act::Kill, Act::GiveUp]);
        check(&[Happened::Gone, Happened::Told], &[Act::Nothing, Act::Nothing]);
    }
}
