//! One connection at its server's side, as it must be when the victim does what `connection.rs` says:
//! what a client knows of its server without asking it.

use gracetrace_tests::client::{Line, Step};

/// What the server does with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nobody accepted it.
    Backlog,
    /// Waits for the next line.
    Reading,
    /// Works on a request and will answer.
    Working,
    /// Will never answer, nor read.
    Never,
    /// Reads no more, and owes an answer.
    Ignoring,
    /// Reads no more, and owes nothing.
    Deaf,
    /// Is in the middle of a write that does not go on.
    Writing,
    /// Has closed it.
    Closed,
    /// The client's RST has closed it.
    Reset,
}

/// The connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) mode: Mode,
    /// Bytes that came in.
    pub(crate) received: u64,
    /// Of those, bytes that nobody has read.
    pub(crate) unread: u64,
    /// A request has been read and not answered.
    pub(crate) owes: bool,
    /// The client's FIN has come.
    pub(crate) fin: bool,
}

impl Server {
    pub(crate) fn accepting() -> Self {
        Self { mode: Mode::Reading, received: 0, unread: 0, owes: false, fin: false }
    }

    pub(crate) fn in_backlog() -> Self {
        Self { mode: Mode::Backlog, ..Self::accepting() }
    }

    /// Whether nothing can happen to it any more.
    pub(crate) fn gone(&self) -> bool {
        matches!(self.mode, Mode::Closed | Mode::Reset)
    }

    /// Its client does this, and the server has had time to see it.
    pub(crate) fn sees(&mut self, step: Step) {
        if self.gone() {
            return;
        }
        self.received += match step {
            Step::Say(line) => line.text().len() as u64,
            Step::Bytes(count) => count,
            Step::Receive | Step::AwaitEnd | Step::Wait(_) | Step::HalfClose | Step::Reset | Step::Close => 0,
        };
        match step {
            Step::Say(line) if self.mode == Mode::Reading => self.reads(line),
            Step::Say(line) => self.unread += line.text().len() as u64,
            Step::Bytes(count) => self.unread += count,
            Step::Receive if self.mode == Mode::Working => {
                self.mode = Mode::Reading;
                self.owes = false;
            }
            Step::HalfClose | Step::Close => {
                self.fin = true;
                if self.mode == Mode::Reading {
                    self.mode = Mode::Closed;
                }
            }
            Step::Reset => self.mode = Mode::Reset,
            Step::AwaitEnd => self.mode = Mode::Closed,
            Step::Wait(_) | Step::Receive => {}
        }
    }

    fn reads(&mut self, line: Line) {
        self.owes = true;
        self.mode = match line {
            Line::Request(_) => Mode::Working,
            Line::Never => Mode::Never,
            // until the client sees the end, which must come
            Line::Ignore | Line::Leave(_) | Line::Last(_) | Line::Exit(_) => Mode::Ignoring,
            Line::Deaf => Mode::Deaf,
            Line::Half(_) => Mode::Writing,
        };
        // answered at once, or in the middle of an answer
        self.owes &= !matches!(self.mode, Mode::Deaf | Mode::Writing);
    }
}
