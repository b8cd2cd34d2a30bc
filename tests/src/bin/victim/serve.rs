//! The victim as a server: one thread a connection, a line protocol, and ways to stop.

use crate::stamps::Stamps;
use crate::{Options, sys};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
        let wake = self.signal.map(sys::on_signal);
        let listener = options.listen.as_deref().map(listen);
        let mut workers: Vec<Child> = (0..options.workers).map(|_| start_worker()).collect();
        let port = listener.as_ref().and_then(|l| l.local_addr().ok()).map_or(0, |addr| addr.port());
        options.stamps.now("ready", &port.to_string());
        if options.announce {
            drop(writeln!(std::io::stdout(), "ready"));
        }
        let open = Open::default();
        loop {
            let mut fds: Vec<PollFd<'_>> = Vec::new();
            fds.extend(wake.map(|fd| PollFd::new(fd, PollFlags::IN)));
            fds.extend(listener.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            if fds.is_empty() {
                std::thread::park();
                continue;
            }
            if poll(&mut fds, None).is_err() {
                continue; // EINTR: the handler has run, its byte is in the pipe
            }
            if wake.is_some() && fds[0].revents().contains(PollFlags::IN) {
                break;
            }
            if let Some(Ok((stream, _))) = listener.as_ref().map(TcpListener::accept) {
                open.serve(stream);
            }
        }
        options.stamps.at("handler", sys::handled_at(), "");
        forward(&mut workers);
        self.stop(listener, &open, &options.stamps);
    }

    fn stop(&self, listener: Option<TcpListener>, open: &Open, stamps: &Stamps) {
        let handled = Instant::now();
        let code = match self.on_stop {
            OnStop::Exit(code) => code,
            OnStop::Segv => sys::segv(),
            OnStop::Drain | OnStop::DrainFor(_) | OnStop::Hang => {
                drop(listener);
                stamps.now("listener-closed", "");
                if matches!(self.on_stop, OnStop::Hang) {
                    loop {
                        std::thread::park();
                    }
                }
                open.drain();
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

fn listen(addr: &str) -> TcpListener {
    TcpListener::bind(addr).unwrap_or_else(|error| crate::usage(&format!("cannot listen on {addr}: {error}")))
}

/// A child that would drain for a minute, its handler installed.
fn start_worker() -> Child {
    let mut child = Command::new(std::env::current_exe().expect("its own path"))
        .args(["--announce", "slow-drain", "60000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker starts");
    let announced = BufReader::new(child.stdout.take().expect("a pipe")).lines().next();
    assert!(announced.is_some(), "a worker announces itself");
    child
}

fn forward(workers: &mut [Child]) {
    for worker in workers {
        let pid = i32::try_from(worker.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// The connections that are open, held weakly so that each thread's end closes its own.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<Vec<Weak<TcpStream>>>>);

impl Open {
    fn serve(&self, stream: TcpStream) {
        let stream = Arc::new(stream);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|weak| weak.strong_count() > 0);
        open.push(Arc::downgrade(&stream));
        std::thread::spawn(move || answer(&stream));
    }

    /// Idle connections are closed now, the others once they are answered.
    fn drain(&self) {
        loop {
            let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let alive: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
            if alive.is_empty() {
                return;
            }
            for stream in alive {
                // no FIN yet: only the reader wakes up, and its end closes the socket
                drop(stream.shutdown(Shutdown::Read));
            }
            drop(open);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One connection, until its peer or [`Open::drain`] ends it.
fn answer(stream: &TcpStream) {
    for line in BufReader::new(stream).lines() {
        let Some(delay) = line.ok().and_then(|line| line.strip_prefix("request ").map(str::to_owned)) else { return };
        let delay = delay.parse().map_or(Duration::from_secs(3600), Duration::from_millis);
        std::thread::sleep(delay);
        let mut writer = stream;
        if writer.write_all(b"answer\n").is_err() {
            return;
        }
    }
}
