//! Noise on the host beside the traced command: signals, forks and connections of nobody's pod.
//!
//! Bounded: it ends after the time it was given, and all of it stays on the loopback device.

use rustix::process::{Pid, Signal, kill_process};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A storm that is going on.
#[derive(Debug)]
pub struct Storm {
    threads: Vec<JoinHandle<()>>,
    counts: [Arc<AtomicU64>; 3],
}

impl Storm {
    /// Signals to a process of ours, forks with exec, and connections, for `time`.
    pub fn start(time: Duration) -> Self {
        let until = Instant::now() + time;
        let counts: [Arc<AtomicU64>; 3] = std::array::from_fn(|_| Arc::default());
        let blow = |gust: fn(Instant, &AtomicU64), index: usize| {
            let count = Arc::clone(&counts[index]);
            std::thread::spawn(move || gust(until, &count))
        };
        let threads = vec![blow(signals, 0), blow(forks, 1), blow(connections, 2)];
        Self { threads, counts }
    }

    /// Waits for its end: signals sent, processes forked, connections made.
    pub fn end(self) -> [u64; 3] {
        for thread in self.threads {
            let _panicked = thread.join();
        }
        self.counts.map(|count| count.load(Ordering::Relaxed))
    }
}

/// SIGCONT to a sleeper: it changes nothing, and SIGTERM to nobody (signal 0 is no signal).
fn signals(until: Instant, count: &AtomicU64) {
    let Ok(mut target) = Command::new("sleep").arg("30").spawn() else { return };
    let pid = i32::try_from(target.id()).ok().and_then(Pid::from_raw);
    while let (true, Some(pid)) = (Instant::now() < until, pid) {
        for _ in 0..64 {
            count.fetch_add(u64::from(kill_process(pid, Signal::CONT).is_ok()), Ordering::Relaxed);
        }
    }
    let _gone = target.kill();
    let _reaped = target.wait();
}

fn forks(until: Instant, count: &AtomicU64) {
    while Instant::now() < until {
        let ended = Command::new("true").stdin(Stdio::null()).status();
        count.fetch_add(u64::from(ended.is_ok()), Ordering::Relaxed);
    }
}

fn connections(until: Instant, count: &AtomicU64) {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0") else { return };
    let Ok(addr) = listener.local_addr() else { return };
    while Instant::now() < until {
        if TcpStream::connect(addr).is_ok() && listener.accept().is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
