//! One connection of the server: it does what its client asks for, line by line.
//!
//! ```text
//! request MS     `answer` after MS milliseconds; then the next line
//! request never  no answer, ever
//! ignore         never reads again, not even the end of the stream; a drain closes it
//! deaf           `answer`, then like ignore
//! half BYTES     that many bytes of an answer without an end; then the next line
//! leave MS       closes after MS milliseconds, without an answer and without reading
//! last BYTES     that many bytes of an answer and the end of this half (`shutdown`); then like ignore
//! exit MS        the whole program exits with 0 after MS milliseconds
//! ```
//!
//! Lines are read byte by byte: what follows a line stays in the kernel until it is wanted.

use crate::stamps::Stamps;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often a thread that waits looks whether it is to leave.
const LOOK: Duration = Duration::from_millis(2);
const CHUNK: [u8; 16 << 10] = [b'.'; 16 << 10];

/// The connections that are open, held weakly so that each thread's end closes its own.
#[derive(Clone)]
pub(crate) struct Open(Arc<Inner>);

struct Inner {
    streams: Mutex<Vec<Weak<TcpStream>>>,
    /// Those whose thread has not closed them yet: a weak reference is dead a moment before that.
    alive: AtomicUsize,
    draining: AtomicBool,
    log: Stamps,
}

impl Open {
    /// None yet; what they do is stamped into `log`.
    pub(crate) fn new(log: Stamps) -> Self {
        Self(Arc::new(Inner {
            streams: Mutex::default(),
            alive: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            log,
        }))
    }

    /// Serves a connection in a thread of its own.
    pub(crate) fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let stream = Arc::new(stream);
        let mut open = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|weak| weak.strong_count() > 0);
        open.push(Arc::downgrade(&stream));
        drop(open);
        let inner = Arc::clone(&self.0);
        inner.alive.fetch_add(1, Ordering::SeqCst);
        inner.log.now("accepted", &format!("{peer}"));
        std::thread::spawn(move || {
            inner.converse(&stream, peer);
            drop(stream);
            inner.alive.fetch_sub(1, Ordering::SeqCst);
            inner.log.now("closed", &format!("{peer}"));
        });
    }

    /// Idle connections are closed now, the others once they are answered.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        loop {
            let open = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
            let alive: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
            if alive.is_empty() && self.0.alive.load(Ordering::SeqCst) == 0 {
                return;
            }
            for stream in alive {
                // no FIN yet: only the reader wakes up, and its end closes the socket
                drop(stream.shutdown(Shutdown::Read));
            }
            drop(open);
            std::thread::sleep(LOOK);
        }
    }
}

impl Inner {
    /// Until the client or a drain ends it.
    fn converse(&self, mut stream: &TcpStream, peer: SocketAddr) {
        while let Some(line) = read_line(stream) {
            self.log.now("asked", &format!("{peer} {line}"));
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let number = argument.parse::<u64>();
            match (verb, number) {
                ("request", Ok(ms)) => {
                    std::thread::sleep(Duration::from_millis(ms));
                    if stream.write_all(b"answer\n").is_err() {
                        return;
                    }
                    self.log.now("answered", &format!("{peer}"));
                }
                ("request", Err(_)) => std::thread::sleep(Duration::from_secs(3600)),
                ("ignore", _) => return self.until_drained(),
                ("deaf", _) => {
                    if stream.write_all(b"answer\n").is_ok() {
                        self.until_drained();
                    }
                    return;
                }
                ("half", Ok(bytes)) => {
                    if write(stream, usize::try_from(bytes).unwrap_or(usize::MAX)).is_err() {
                        return;
                    }
                }
                ("leave", Ok(ms)) => return std::thread::sleep(Duration::from_millis(ms)),
                ("last", Ok(bytes)) => {
                    if write(stream, usize::try_from(bytes).unwrap_or(usize::MAX)).is_ok()
                        && stream.shutdown(Shutdown::Write).is_ok()
                    {
                        self.until_drained();
                    }
                    return;
                }
                ("exit", Ok(ms)) => {
                    std::thread::sleep(Duration::from_millis(ms));
                    std::process::exit(0);
                }
                _ => return,
            }
        }
    }

    fn until_drained(&self) {
        while !self.draining.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK);
        }
    }
}

/// The next line without its end; none at the end of the stream.
fn read_line(mut stream: &TcpStream) -> Option<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        match stream.read(&mut byte) {
            Ok(1) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
            Ok(1) => line.push(byte[0]),
            Ok(_) | Err(_) => return None,
        }
    }
}

fn write(mut stream: &TcpStream, bytes: usize) -> std::io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let count = left.min(CHUNK.len());
        stream.write_all(&CHUNK[..count])?;
        left -= count;
    }
    Ok(())
}
