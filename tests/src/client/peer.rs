//! A server outside the pod: pods are its clients. It speaks the victim's `request` lines and writes
//! down how each connection ended.

use super::End;
use crate::clock::boot_ns;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server that is running.
#[derive(Debug)]
pub struct PeerServer {
    /// Where it listens.
    pub addr: SocketAddr,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    closing: AtomicBool,
    ended: Mutex<Vec<Met>>,
    conversations: Mutex<Vec<JoinHandle<()>>>,
}

/// One connection as this server saw it.
#[derive(Debug, Clone, Copy)]
pub struct Met {
    /// The pod's address.
    pub peer: SocketAddr,
    /// Lines that came in.
    pub lines: usize,
    /// How it ended.
    pub end: End,
    /// When, in nanoseconds since boot.
    pub ended_at: u64,
}

impl PeerServer {
    /// Listens on a free port of `addr`.
    pub fn start(addr: std::net::IpAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((addr, 0))?;
        let (addr, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let inner = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                if inner.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&inner);
                let conversation = std::thread::spawn(move || {
                    let met = converse(&stream, peer);
                    shared.ended.lock().unwrap_or_else(PoisonError::into_inner).push(met);
                });
                inner.conversations.lock().unwrap_or_else(PoisonError::into_inner).push(conversation);
            }
        });
        Ok(Self { addr, thread, shared })
    }

    /// Closes the listener and gives what it saw, once every connection has ended.
    pub fn met(self) -> anyhow::Result<Vec<Met>> {
        self.shared.closing.store(true, Ordering::SeqCst);
        // wakes the accepting thread; that it fails means that it is awake
        drop(TcpStream::connect_timeout(&self.addr, Duration::from_secs(1)));
        self.thread.join().map_err(|_| anyhow::anyhow!("the server outside panicked"))?;
        let open = std::mem::take(&mut *self.shared.conversations.lock().unwrap_or_else(PoisonError::into_inner));
        for conversation in open {
            conversation.join().map_err(|_| anyhow::anyhow!("the server outside panicked"))?;
        }
        Ok(self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn converse(stream: &TcpStream, peer: SocketAddr) -> Met {
    let mut lines = 0;
    // a test that failed must not be waited for
    let _limited = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let mut reader = BufReader::new(stream);
    let end = loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) => break End::Eof,
            Ok(_) => {
                lines += 1;
                if let Some(Ok(ms)) = line.trim().strip_prefix("request ").map(str::parse) {
                    std::thread::sleep(Duration::from_millis(ms));
                    // the end tells if it has gone
                    let mut writer = stream;
                    drop(writer.write_all(b"answer\n"));
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Err(error) => break End::Other(error.kind()),
        }
    };
    Met { peer, lines, end, ended_at: boot_ns() }
}
