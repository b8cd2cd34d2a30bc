//! A schedule: one server, how it ends, and up to a dozen clients with scripts, all drawn from a seed.
//!
//! Only true races are avoided: every client is quiet for some 40 ms before and after the stop, what a
//! client does after it is over before the server ends, and nobody comes to a server that leaves at once.
//! Estimates are left room for: 20 ms pass between an answer and the next request.

use crate::random::Random;
use crate::server::{Mode, Server};
use gracetrace_tests::client::{Line, Reading, Script, Step};
use serde::{Deserialize, Serialize};

/// How the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// Closes the listener, answers what was asked, closes all, exits.
    Drain,
    /// The same, but it leaves 600 ms after the signal at the earliest.
    DrainSlowly,
    /// Closes the listener and serves the others until it is killed.
    Hang,
    /// Exits 0 at once.
    Exit,
    /// Exits 7 at once.
    Fail,
    /// Faults in its handler.
    Crash,
    /// Has no handler: the default action, or nothing and a kill if it is PID 1.
    NoHandler,
    /// Gets SIGKILL at once.
    Kill,
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) ending: Ending,
    pub(crate) pid_namespace: bool,
    pub(crate) ipv6: bool,
    /// The first so many are accepted.
    pub(crate) accept: Option<usize>,
    /// The listener stays open that long after the stop.
    pub(crate) accept_for_ms: u64,
    pub(crate) clients: Vec<Script>,
}

/// A request that is in the middle of its work at the stop takes that long, from asking.
pub(crate) const LONG_MS: u64 = 600;
/// How slowly a slow drain leaves.
pub(crate) const SLOWLY_MS: u64 = 600;
/// How long the listener stays open after the stop, if it does.
const OPEN_MS: u64 = 500;
/// More than both sides' buffers hold.
const HUGE: u64 = 64 << 20;

impl Schedule {
    /// The schedule of a seed, always the same.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let ending = random.pick(&[
            Ending::Drain,
            Ending::DrainSlowly,
            Ending::Hang,
            Ending::Hang,
            Ending::Exit,
            Ending::Fail,
            Ending::Crash,
            Ending::NoHandler,
            Ending::Kill,
        ]);
        let lingers = matches!(ending, Ending::Drain | Ending::DrainSlowly | Ending::Hang);
        let mut schedule = Self {
            seed,
            ending,
            pid_namespace: random.chance(30),
            ipv6: random.chance(15),
            accept: None,
            accept_for_ms: if lingers && random.chance(40) { OPEN_MS } else { 0 },
            clients: Vec::new(),
        };
        let count = random.below(13);
        let late = if schedule.comes_late() { (0..count).filter(|_| random.chance(25)).count() } else { 0 };
        let early = count - late;
        schedule.accept = random.chance(25).then(|| random.below(early + 1));
        for index in 0..early {
            let accepted = schedule.accept.is_none_or(|accept| index < accept);
            let script = schedule.early(accepted, &mut random);
            schedule.clients.push(script);
        }
        for _ in 0..late {
            let script = schedule.late(&mut random);
            schedule.clients.push(script);
        }
        schedule
    }

    /// Whether clients may come after the stop: it must be sure that the server is still there.
    fn comes_late(&self) -> bool {
        self.accept_for_ms > 0 || matches!(self.ending, Ending::Hang | Ending::DrainSlowly)
    }

    /// Whether connections are served on for a while after the stop.
    fn serves_on(&self) -> bool {
        self.accept_for_ms > 0 || self.ending == Ending::Hang
    }

    fn early(&self, accepted: bool, random: &mut Random) -> Script {
        if !accepted {
            return self.early_in_backlog(random);
        }
        let mut steps = Vec::new();
        let served = [Step::Say(Line::Request(25)), Step::Receive, Step::Wait(20)];
        for _ in 0..random.below(3) {
            steps.extend(served);
        }
        let bytes = Step::Bytes(1 + random.below_u64(2_000));
        let mut reading = Reading::Always;
        let more: &[Step] = match random.below(12) {
            0 | 1 => &[],
            2 => &[Step::Say(Line::Never)],
            3 => &[Step::Say(Line::Ignore), bytes],
            4 => &[Step::Say(Line::Ignore)],
            5 => &[Step::Say(Line::Deaf), Step::Receive],
            6 => &[Step::Say(Line::Request(LONG_MS))],
            7 => &[Step::Say(Line::Leave(0)), Step::AwaitEnd],
            8 => &[Step::Say(Line::Leave(40)), bytes, Step::AwaitEnd],
            9 => &[Step::Reset],
            10 => &[Step::HalfClose, Step::AwaitEnd],
            _ => {
                // whoever reads nothing has no answer to wait for
                steps.clear();
                reading = Reading::Never;
                &[Step::Say(Line::Half(HUGE)), Step::Wait(150)]
            }
        };
        steps.extend(more);
        let mut at_server = Server::accepting();
        for step in &steps {
            at_server.sees(*step);
        }
        if matches!(at_server.mode, Mode::Never | Mode::Deaf | Mode::Ignoring) && random.chance(25) {
            steps.push(Step::HalfClose);
            at_server.sees(Step::HalfClose);
        }
        let after = self.after(at_server, random);
        Script { before: Some(steps), after, reading, mptcp: false }
    }

    fn early_in_backlog(&self, random: &mut Random) -> Script {
        let bytes = Step::Bytes(1 + random.below_u64(2_000));
        let (before, after): (&[Step], &[Step]) = match random.below(7) {
            0 | 1 => (&[], &[]),
            2 => (&[Step::Say(Line::Request(25))], &[]),
            3 => (&[bytes], &[]),
            4 => (&[Step::Say(Line::Never), Step::HalfClose], &[]),
            5 => (&[Step::Reset], &[]),
            _ if self.accept_for_ms > 0 => (&[], &[bytes]),
            _ => (&[bytes], &[]),
        };
        Script { before: Some(before.to_vec()), after: after.to_vec(), reading: Reading::Always, mptcp: false }
    }

    /// What a client goes on to do after the stop, with a server in that state.
    fn after(&self, server: Server, random: &mut Random) -> Vec<Step> {
        if server.gone() {
            return Vec::new();
        }
        let wait = Step::Wait(random.below_u64(80));
        let bytes = Step::Bytes(1 + random.below_u64(2_000));
        let steps: &[Step] = match (server.mode, random.below(10)) {
            (Mode::Reading, choice) if self.serves_on() => match choice {
                0..=2 => &[],
                3 => &[wait, Step::Say(Line::Request(25)), Step::Receive],
                4 => &[wait, Step::Say(Line::Never)],
                5 => &[wait, Step::Say(Line::Ignore), bytes],
                6 => &[wait, Step::Reset],
                7 => &[wait, Step::HalfClose, Step::AwaitEnd],
                8 => &[wait, Step::Say(Line::Leave(20)), Step::AwaitEnd],
                _ => &[wait, Step::Say(Line::Leave(40)), bytes, Step::AwaitEnd],
            },
            // closed by the drain already: what is sent now meets nobody
            (Mode::Reading, 0..=4) if self.ending == Ending::DrainSlowly => {
                &[Step::AwaitEnd, wait, bytes, Step::Wait(40), bytes]
            }
            (Mode::Never | Mode::Ignoring | Mode::Deaf, choice) if self.serves_on() => match choice {
                0 | 1 if !server.fin => &[wait, bytes],
                2 | 3 if !server.fin => &[wait, Step::HalfClose],
                4 | 5 => &[wait, Step::Reset],
                _ => &[],
            },
            _ => &[],
        };
        steps.to_vec()
    }

    fn late(&self, random: &mut Random) -> Script {
        let mut after = vec![Step::Wait(random.below_u64(120))];
        let bytes = Step::Bytes(1 + random.below_u64(2_000));
        let more: &[Step] = match random.below(6) {
            _ if self.accept_for_ms == 0 => &[],
            0 | 1 => &[],
            2 if self.accept.is_some() => &[Step::Say(Line::Ignore), bytes],
            2 => &[Step::Say(Line::Request(25)), Step::Receive],
            3 => &[Step::Say(Line::Never)],
            4 => &[Step::Say(Line::Ignore), bytes],
            _ if self.accept.is_some() => &[bytes],
            _ => &[Step::Say(Line::Request(25)), Step::Receive, Step::HalfClose, Step::AwaitEnd],
        };
        after.extend(more);
        Script { before: None, after, reading: Reading::Always, mptcp: false }
    }

    /// The victim's arguments.
    pub(crate) fn victim(&self) -> Vec<String> {
        let addr = if self.ipv6 { "[::1]:0" } else { "127.0.0.1:0" };
        let mut words: Vec<String> = ["--log", "--listen", addr].map(str::to_owned).to_vec();
        if let Some(accept) = self.accept {
            words.extend(["--accept".to_owned(), accept.to_string()]);
        }
        if self.accept_for_ms > 0 {
            words.extend(["--accept-for".to_owned(), self.accept_for_ms.to_string()]);
        }
        let slowly = SLOWLY_MS.to_string();
        let behaviour: &[&str] = match self.ending {
            Ending::Drain => &["graceful"],
            Ending::DrainSlowly => &["slow-drain", &slowly],
            Ending::Hang | Ending::Kill => &["overrun"],
            Ending::Exit => &["keep-idle"],
            Ending::Fail => &["fail", "7"],
            Ending::Crash => &["crash-on-stop"],
            Ending::NoHandler => &["ignores"],
        };
        words.extend(behaviour.iter().map(|&word| word.to_owned()));
        words
    }

    /// gracetrace's flags.
    pub(crate) fn flags(&self) -> Vec<String> {
        let grace = match self.ending {
            Ending::Kill => "0s",
            // leave by themselves, also where the machine is slow, unless a request is never answered
            Ending::Drain | Ending::DrainSlowly => "3s",
            Ending::Hang | Ending::Exit | Ending::Fail | Ending::Crash | Ending::NoHandler => "1100ms",
        };
        let mut flags = vec!["--grace-period".to_owned(), grace.to_owned()];
        flags.extend(self.pid_namespace.then(|| "--pid-namespace".to_owned()));
        flags
    }
}
