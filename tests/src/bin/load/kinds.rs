//! The kinds of load, each a loop that is timed: what it does is what its hook is for, and little else.

use super::sys;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Operations between two looks at the clock.
const BATCH: u64 = 16;
/// How long a paced load rests after each [`BATCH`]: some fifteen thousand operations a second are left, which any tracer can print.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// One operation.
type Operation<'a> = Box<dyn FnMut() -> anyhow::Result<()> + 'a>;

/// Runs them all, with a rest after each batch, and gives a line for each slice. Between two slices of a kind come those of the others: the best
/// is the one that was disturbed least.
pub(super) fn all(slice: Duration, slices: u32, pause: Duration) -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    let mut loopback = Loopback::new();
    let mut kinds: Vec<(&str, Operation<'_>)> = vec![
        // what no tracer of signals, processes or sockets is called for
        ("control", Box::new(control)),
        ("kill", Box::new(|| sys::kill_self(false))),
        ("handler", Box::new(|| sys::kill_self(true))),
        ("connect", Box::new(|| connect(&listener, loopback.next(), port))),
        ("fork", Box::new(sys::fork_and_wait)),
        ("exec", Box::new(|| Command::new("/bin/true").status().map(|_| ()).map_err(Into::into))),
    ];
    let mut lines = String::new();
    for _ in 0..slices {
        for (name, operation) in &mut kinds {
            let (count, took) = timed(slice, pause, operation)?;
            writeln!(lines, "{name} {count} {}", took.as_nanos())?;
        }
    }
    Ok(lines)
}

/// Repeats it for that long; rests are no part of the time that it took.
pub(super) fn timed(
    slice: Duration,
    pause: Duration,
    operation: &mut impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<(u64, Duration)> {
    let begun = Instant::now();
    let (mut count, mut rested) = (0, Duration::ZERO);
    while begun.elapsed() < slice {
        for _ in 0..BATCH {
            operation()?;
        }
        count += BATCH;
        if !pause.is_zero() {
            let rest = Instant::now();
            sleep(pause);
            rested += rest.elapsed();
        }
    }
    Ok((count, begun.elapsed().saturating_sub(rested)))
}

/// What no tracer is called for.
#[expect(clippy::unnecessary_wraps, reason = "an operation like the others")]
pub(super) fn control() -> anyhow::Result<()> {
    sys::untraced();
    Ok(())
}

/// A connection that is made, accepted, and closed from both sides in good order.
fn connect(listener: &TcpListener, to: Ipv4Addr, port: u16) -> anyhow::Result<()> {
    let client = TcpStream::connect((to, port))?;
    let (server, _) = listener.accept()?;
    drop(client);
    drop(server);
    Ok(())
}

/// Addresses of this machine, another one every so often: each has as many ports of its own, and closed connections keep
/// theirs for a minute.
struct Loopback(u32);

impl Loopback {
    fn new() -> Self {
        Self(std::process::id() << 12)
    }

    fn next(&mut self) -> Ipv4Addr {
        self.0 = self.0.wrapping_add(1);
        let [_, a, b, c] = (self.0 >> 8).to_be_bytes();
        Ipv4Addr::new(127, a, b, c.clamp(1, 254))
    }
}
