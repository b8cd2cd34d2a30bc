//! What a client does with its connection, as data: before the server is stopped, after that, and
//! once the server has gone.

use serde::{Deserialize, Serialize};

/// A line of the victim's protocol (`bin/victim/connection.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// An answer after that many milliseconds.
    Request(u64),
    /// A request that is never answered.
    Never,
    /// The server is not to read again.
    Ignore,
    /// The server is to answer once, and not to read again.
    Deaf,
    /// The server is to write that many bytes of an answer without an end.
    Half(u64),
    /// The server is to close after that many milliseconds, without an answer.
    Leave(u64),
    /// The server is to write that many bytes and end its half of the connection, and not to read again.
    Last(u64),
    /// The whole server is to exit after that many milliseconds.
    Exit(u64),
}

/// One thing that a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Sends a line.
    Say(Line),
    /// Waits for an answer.
    Receive,
    /// Waits for the end of the stream.
    AwaitEnd,
    /// Sends that many bytes after the lines.
    Bytes(u64),
    /// Does nothing for that many milliseconds.
    Wait(u64),
    /// Sends a FIN and goes on reading.
    HalfClose,
    /// Closes with a RST.
    Reset,
    /// Closes.
    Close,
}

/// How a client reads, and what it does when the server has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// Reads from the beginning and sees the end when it comes.
    Always,
    /// Reads nothing before the server has gone, and then everything.
    AfterTheEnd,
    /// Reads nothing, and closes with a RST when the server has gone.
    NeverThenReset,
    /// Reads nothing, and closes only when the report is out.
    Never,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Connects before the stop and does this; connects after it without.
    pub before: Option<Vec<Step>>,
    /// Done after the stop.
    pub after: Vec<Step>,
    /// How it reads.
    pub reading: Reading,
    /// Speaks MPTCP.
    pub mptcp: bool,
}

/// What a connection is used for before it is watched to its end: the usual scripts.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// Nothing: idle from the beginning.
    Nothing,
    /// One request, answered before the connection counts as open; then idle.
    Served,
    /// The same, over MPTCP.
    ServedOverMptcp,
    /// One request that the server works on for that many milliseconds.
    Asks(u64),
    /// One request that the server never answers.
    AsksInVain,
    /// That many bytes, which the server never reads (if it reads at all, it reads one line).
    Unread(u64),
    /// Any other script: before the stop, after it, and how it reads.
    Does(&'static [Step], &'static [Step], Reading),
}

impl Line {
    /// As it is sent.
    pub fn text(self) -> String {
        match self {
            Self::Request(ms) => format!("request {ms}\n"),
            Self::Never => "request never\n".to_owned(),
            Self::Ignore => "ignore\n".to_owned(),
            Self::Deaf => "deaf\n".to_owned(),
            Self::Half(bytes) => format!("half {bytes}\n"),
            Self::Leave(ms) => format!("leave {ms}\n"),
            Self::Last(bytes) => format!("last {bytes}\n"),
            Self::Exit(ms) => format!("exit {ms}\n"),
        }
    }
}

impl Use {
    /// Written out.
    pub fn script(self) -> Script {
        // not answered at once: which side spoke last must not fall into one tick of the kernel's clock
        const SERVED: &[Step] = &[Step::Say(Line::Request(25)), Step::Receive];
        let (before, after, reading) = match self {
            Self::Nothing => (vec![], &[] as &[Step], Reading::Always),
            Self::Served | Self::ServedOverMptcp => (SERVED.to_vec(), &[] as _, Reading::Always),
            Self::Asks(ms) => (vec![Step::Say(Line::Request(ms))], &[] as _, Reading::Always),
            Self::AsksInVain => (vec![Step::Say(Line::Never)], &[] as _, Reading::Always),
            Self::Unread(bytes) => (vec![Step::Say(Line::Ignore), Step::Bytes(bytes)], &[] as _, Reading::Always),
            Self::Does(before, after, reading) => (before.to_vec(), after, reading),
        };
        let mptcp = matches!(self, Self::ServedOverMptcp);
        Script { before: Some(before), after: after.to_vec(), reading, mptcp }
    }
}
