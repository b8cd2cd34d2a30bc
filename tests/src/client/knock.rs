//! Late clients: attempts to connect, one after the other, each used for one request at the most.

use super::{Connection, Line, Stage, Stages, Step};
use super::{End, Reading, Script, Seen};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nobody else calls from this address: a port of another may be held by a connection to elsewhere that was closed within the last minute.
const OWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 77, 1)), 0);

/// Attempts that are going on.
#[derive(Debug)]
pub struct Knocks(JoinHandle<anyhow::Result<Vec<Seen>>>);

impl Knocks {
    /// Begins now: `count` attempts, `every` so often. One that comes up gets one answer and is closed.
    pub fn begin(server: SocketAddr, count: u32, every: Duration) -> Self {
        Self::one_by_one(count, every, move |_| knock(server))
    }

    /// The same, all from the first one's port: to the server the same two addresses again and again.
    pub fn begin_on_one_port(server: SocketAddr, count: u32, every: Duration) -> Self {
        Self::one_by_one(count, every, move |last| {
            let from = last.and_then(|last| last.local).unwrap_or(OWN);
            // an orderly end would hold the port for a minute
            knock_and(server, Some(from), Step::Reset)
        })
    }

    fn one_by_one(
        count: u32,
        every: Duration,
        knock: impl Fn(Option<&Seen>) -> anyhow::Result<Seen> + Send + 'static,
    ) -> Self {
        Self(std::thread::spawn(move || {
            let begun = Instant::now();
            let mut all = Vec::new();
            for number in 0..count {
                std::thread::sleep((every * number).saturating_sub(begun.elapsed()));
                all.push(knock(all.last())?);
            }
            Ok(all)
        }))
    }

    /// What became of each, once all are over.
    pub fn seen(self) -> anyhow::Result<Vec<Seen>> {
        self.0.join().map_err(|_| anyhow::anyhow!("a late client panicked"))?
    }
}

/// One attempt to connect: refused, or it came up, was answered and closed by us.
pub fn knock(server: SocketAddr) -> anyhow::Result<Seen> {
    knock_and(server, None, Step::Close)
}

fn knock_and(server: SocketAddr, from: Option<SocketAddr>, leave: Step) -> anyhow::Result<Seen> {
    let stages = Stages::default();
    stages.reach(Stage::Stopped);
    let after = vec![Step::Say(Line::Request(0)), Step::Receive, leave];
    let script = Script { before: None, after, reading: Reading::Always, mptcp: false };
    let seen = Connection::play(server, from, &script, &stages)?.seen()?;
    anyhow::ensure!(seen.end == End::Refused || seen.answers == 1, "a late client came in and had no answer: {seen:?}");
    Ok(seen)
}
