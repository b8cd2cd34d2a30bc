//! What goes for every behaviour, read from the command line.

use crate::stamps::Stamps;
use crate::usage;
use std::time::Duration;

/// The options before the behaviour.
pub(crate) struct Options {
    pub(crate) stamps: Stamps,
    /// Each connection's doings are stamped too.
    pub(crate) log: bool,
    pub(crate) listen: Option<String>,
    /// How many connections are accepted at the most.
    pub(crate) accept: u64,
    /// How long after the stop signal.
    pub(crate) accept_for: Option<Duration>,
    pub(crate) hold: bool,
    /// `TCP_USER_TIMEOUT` of what it accepts.
    pub(crate) user_timeout: Option<Duration>,
    /// A unix socket whose listener gets what it accepts.
    pub(crate) hand_to: Option<String>,
    /// Address and first line of each outbound connection.
    pub(crate) connect: Vec<(String, String)>,
    pub(crate) worker: Option<Vec<String>>,
    pub(crate) workers: u64,
    /// They are killed instead of being told to stop.
    pub(crate) kill_workers: bool,
    pub(crate) leave_leader: bool,
    /// What `init` starts is PID 1 of a PID namespace below its own.
    pub(crate) nested: bool,
    pub(crate) announce: bool,
    pub(crate) delay_ms: u64,
}

impl Options {
    /// Reads the options and the behaviour that follows them.
    pub(crate) fn parse(args: &mut impl Iterator<Item = String>) -> (Self, String) {
        let mut options = Self {
            stamps: Stamps::default(),
            log: false,
            listen: None,
            accept: u64::MAX,
            accept_for: None,
            hold: false,
            user_timeout: None,
            hand_to: None,
            connect: Vec::new(),
            worker: None,
            workers: 0,
            kill_workers: false,
            leave_leader: false,
            nested: false,
            announce: false,
            delay_ms: 300,
        };
        loop {
            let Some(word) = args.next() else { usage("no behaviour given") };
            match word.as_str() {
                "--stamps" => options.stamps = Stamps::to_file(&want(args.next(), "--stamps FILE")),
                "--log" => options.log = true,
                "--listen" => options.listen = Some(want(args.next(), "--listen ADDR")),
                "--accept" => options.accept = number(args.next(), "--accept N"),
                "--accept-for" => {
                    options.accept_for = Some(Duration::from_millis(number(args.next(), "--accept-for MS")));
                }
                "--hold" => options.hold = true,
                "--user-timeout" => {
                    options.user_timeout = Some(Duration::from_millis(number(args.next(), "--user-timeout MS")));
                }
                "--hand-to" => options.hand_to = Some(want(args.next(), "--hand-to PATH")),
                "--connect" => {
                    let addr = want(args.next(), "--connect ADDR LINE");
                    options.connect.push((addr, want(args.next(), "--connect ADDR LINE")));
                }
                "--worker" => options.worker = Some(args.by_ref().take_while(|word| word != ";").collect()),
                "--workers" => options.workers = number(args.next(), "--workers N"),
                "--delay" => options.delay_ms = number(args.next(), "--delay MS"),
                "--kill-workers" => options.kill_workers = true,
                "--nested" => options.nested = true,
                "--leave-leader" => options.leave_leader = true,
                "--announce" => options.announce = true,
                _ => break (options, word),
            }
        }
    }
}

pub(crate) fn want(value: Option<String>, what: &str) -> String {
    value.unwrap_or_else(|| usage(&format!("{what} is missing")))
}

pub(crate) fn number(value: Option<String>, what: &str) -> u64 {
    want(value, what).parse().unwrap_or_else(|_| usage(&format!("{what}: not a number")))
}
