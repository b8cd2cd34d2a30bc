//! The clients of the demo: some ask again and again, and come back when they are sent away, some wait for an
//! export. They know only what a client can know: whether an answer was whole, and who was refused.

use crate::demo_server::{ANSWER, PAUSE};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Clients that ask for something small, on one connection each.
pub(crate) const REQUESTERS: usize = 4;
/// Clients that wait for an export.
pub(crate) const EXPORTS: usize = 2;

/// How often a client that was sent away comes back, as load balancers still send it here …
const RETURNS: u64 = 2;
/// … and how long after the time before.
const RETURNS_AFTER: Duration = Duration::from_millis(300);
/// How long a client waits for the server to listen, the tracer's start included.
const PATIENCE: Duration = Duration::from_secs(20);

/// The clients at work.
pub(crate) struct Clients {
    requesters: Vec<JoinHandle<Asked>>,
    exports: Vec<JoinHandle<bool>>,
    over: Arc<AtomicBool>,
}

/// What one client that asks has seen.
#[derive(Default)]
struct Asked {
    answers: u64,
    refused: u64,
}

/// What all clients together have seen.
pub(crate) struct Seen {
    /// Whole answers to small requests.
    pub(crate) answers: u64,
    /// Attempts to connect again that were refused.
    pub(crate) refused: u64,
    /// Exports that were asked for and never answered.
    pub(crate) exports_cut: usize,
}

impl Clients {
    pub(crate) fn start(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let requester = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || connect(port, &over).map_or_else(Asked::default, |stream| ask(stream, port)))
        };
        let export = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || connect(port, &over).is_some_and(is_cut))
        };
        let (requesters, exports) = ((0..REQUESTERS).map(requester).collect(), (0..EXPORTS).map(export).collect());
        Self { requesters, exports, over }
    }

    /// Collects what they saw once the server is gone.
    pub(crate) fn finish(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let asked: Vec<Asked> = self.requesters.into_iter().filter_map(|client| client.join().ok()).collect();
        let answers = asked.iter().map(|one| one.answers).sum();
        let refused = asked.iter().map(|one| one.refused).sum();
        let exports_cut = self.exports.into_iter().filter_map(|client| client.join().ok()).filter(|cut| *cut).count();
        Seen { answers, refused, exports_cut }
    }
}

/// Connects as soon as the server listens.
fn connect(port: u16, over: &AtomicBool) -> Option<TcpStream> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE && !over.load(Ordering::Relaxed) {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            return Some(stream);
        }
        thread::sleep(PAUSE / 5);
    }
    None
}

/// Asks until the server ends the connection, then comes back.
fn ask(stream: TcpStream, port: u16) -> Asked {
    let mut answers = 0;
    while matches!(request(&stream), Ok(true)) {
        answers += 1;
        if !stays_open(&stream) {
            break;
        }
    }
    drop(stream);
    let comes_back = |_: &u64| {
        thread::sleep(RETURNS_AFTER);
        TcpStream::connect(("127.0.0.1", port)).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    let refused = (0..RETURNS).filter(comes_back).count();
    Asked { answers, refused: u64::try_from(refused).unwrap_or(0) }
}

/// One small request; whether the answer was whole.
fn request(mut stream: &TcpStream) -> io::Result<bool> {
    stream.set_read_timeout(None)?;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: demo\r\n\r\n")?;
    for line in BufReader::new(stream).lines() {
        if line? == "ok" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pauses; whether the server has kept the connection for another request, as a client with a pool looks.
fn stays_open(stream: &TcpStream) -> bool {
    let waits = stream.set_read_timeout(Some(PAUSE)).and_then(|()| stream.peek(&mut [0]));
    waits.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Asks for an export; whether the connection ended before the answer was whole.
fn is_cut(mut stream: TcpStream) -> bool {
    let sent = stream.write_all(b"GET /export HTTP/1.1\r\nHost: demo\r\n\r\n");
    let mut received = Vec::new();
    let ended = stream.read_to_end(&mut received);
    sent.is_ok() && (ended.is_err() || received.len() < ANSWER.len())
}
