//! The victim as a server: one thread a connection, and ways to stop.

use crate::connection::Open;
use crate::listen::listen;
use crate::options::Options;
use crate::stamps::Stamps;
use crate::{brief, hand, outbound, sys, workers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::Signal;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What a server does once its handler has run.
#[derive(Clone, Copy)]
pub(crate) enum OnStop {
    /// Closes the listener, answers what was asked, exits 0.
    Drain,
    /// The same, but leaves only then.
    DrainFor(Duration),
    /// Closes the listener and waits for ever.
    Hang,
    /// Leaves at once, with everything open.
    Exit(i32),
    /// Faults.
    Segv,
    /// Takes that many MiB of memory.
    Eat(usize),
}

/// A server and how it stops.
pub(crate) struct Server {
    /// The signal it has a handler for.
    pub(crate) signal: Option<libc::c_int>,
    /// What the handler leads to.
    pub(crate) on_stop: OnStop,
}

impl Server {
    /// Serves until told to stop; never returns from the process alive.
    pub(crate) fn run(self, options: &Options) {
        if options.hold {
            sys::raise_descriptor_limit();
        }
        let wake = self.signal.map(sys::on_signal);
        let listener = options.listen.as_deref().map(listen);
        let mut workers = workers::start(options, listener.as_ref());
        let outbound = outbound::open(&options.connect, &options.stamps);
        let port = listener.as_ref().and_then(|l| l.local_addr().ok()).map_or(0, |addr| addr.port());
        options.stamps.now("ready", &port.to_string());
        if options.announce {
            drop(writeln!(std::io::stdout(), "ready"));
        }
        let open = Open::new(if options.log { options.stamps.clone() } else { Stamps::default() });
        let mut door = Door { listener, left: options.accept, options, held: Vec::new(), open: &open };
        door.accept(wake, None);
        let signal = if options.kill_workers { Signal::KILL } else { Signal::TERM };
        workers::forward(&mut workers, signal);
        let handled = Instant::now();
        let closes = matches!(self.on_stop, OnStop::Drain | OnStop::DrainFor(_) | OnStop::Hang);
        let mut closed_at = (closes && options.accept_for.is_none()).then(|| door.close());
        // written only now: it brings late clients, and one that came before the close would be in the backlog
        options.stamps.at("handler", sys::handled_at(), "");
        if let Some(span) = options.accept_for {
            door.accept(None, Some(Instant::now() + span));
            closed_at = closes.then(|| door.close());
        }
        if let Some([closing_at, closed_at]) = closed_at {
            options.stamps.at("listener-closing", closing_at, "");
            options.stamps.at("listener-closed", closed_at, "");
        }
        self.stop(door, outbound, handled, &options.stamps);
    }

    fn stop(&self, mut door: Door<'_>, outbound: Vec<TcpStream>, handled: Instant, stamps: &Stamps) {
        let code = match self.on_stop {
            OnStop::Exit(code) => code,
            OnStop::Segv => sys::segv(),
            OnStop::Eat(mib) => brief::eat(mib, stamps),
            OnStop::Drain | OnStop::DrainFor(_) | OnStop::Hang => {
                if matches!(self.on_stop, OnStop::Hang) {
                    loop {
                        std::thread::park();
                    }
                }
                for stream in outbound {
                    // its reader holds it too
                    drop(stream.shutdown(std::net::Shutdown::Both));
                }
                door.held.clear();
                door.open.drain();
                if let OnStop::DrainFor(total) = self.on_stop {
                    std::thread::sleep(total.saturating_sub(handled.elapsed()));
                }
                0
            }
        };
        stamps.now("exit", "");
        std::process::exit(code)
    }
}

/// Where connections come in.
struct Door<'a> {
    listener: Option<TcpListener>,
    /// How many more are let in.
    left: u64,
    options: &'a Options,
    held: Vec<TcpStream>,
    open: &'a Open,
}

impl Door<'_> {
    /// Lets nobody in any more; between which two moments that was.
    fn close(&mut self) -> [u64; 2] {
        let before = sys::boot_ns();
        drop(self.listener.take());
        [before, sys::boot_ns()]
    }

    /// Lets connections in until the handler has run or `until` has come.
    fn accept(&mut self, wake: Option<&OwnedFd>, until: Option<Instant>) {
        loop {
            let mut fds: Vec<PollFd<'_>> = Vec::new();
            fds.extend(wake.map(|fd| PollFd::new(fd, PollFlags::IN)));
            let listener = self.listener.as_ref().filter(|_| self.left > 0);
            fds.extend(listener.map(|fd| PollFd::new(fd, PollFlags::IN)));
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let limit = left.and_then(|left| Timespec::try_from(left).ok());
            if poll(&mut fds, limit.as_ref()).is_err() {
                continue; // EINTR: the handler has run, its byte is in the pipe
            }
            if wake.is_some() && fds[0].revents().contains(PollFlags::IN) {
                return;
            }
            let Some(Ok((stream, peer))) = listener.map(TcpListener::accept) else { continue };
            self.left -= 1;
            if let Some(limit) = self.options.user_timeout {
                let set = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limit));
                set.unwrap_or_else(|error| crate::usage(&format!("no TCP_USER_TIMEOUT: {error}")));
            }
            if let Some(path) = &self.options.hand_to {
                hand::over(path, &stream);
                self.options.stamps.now("handed-over", &format!("{peer}"));
            } else if self.options.hold {
                self.held.push(stream);
            } else {
                self.open.serve(stream, peer);
            }
        }
    }
}
