//! Clients that write down exactly what each of their connections saw, and when.

use crate::clock::boot_ns;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a connection is used for before it is watched to its end.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// Nothing: idle from the beginning.
    Nothing,
    /// One request, answered before the connection counts as open; then idle.
    Served,
    /// One request that the server works on for that long.
    Asks(Duration),
    /// One request that the server never answers.
    AsksInVain,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An orderly end of stream.
    Eof,
    /// ECONNRESET.
    Reset,
    /// It never came up: ECONNREFUSED.
    Refused,
    /// Anything else.
    Other(ErrorKind),
}

/// One connection as its client saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The client's address, by which the report lists it as `peer`.
    pub local: Option<SocketAddr>,
    /// Answers received.
    pub answers: usize,
    /// How it ended.
    pub end: End,
    /// When, in nanoseconds since boot.
    pub ended_at: u64,
}

/// A connection that is being watched by a thread.
#[derive(Debug)]
pub struct Connection(std::thread::JoinHandle<Seen>);

impl Connection {
    /// Connects, uses the connection as told, and watches it from then on.
    pub fn open(server: SocketAddr, usage: Use) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut answers = 0;
        match usage {
            Use::Nothing => {}
            Use::Served => {
                // not at once: which side spoke last must not fall into one tick of the kernel's clock
                stream.write_all(b"request 25\n")?;
                anyhow::ensure!(reader.read_line(&mut String::new())? > 0, "the server closed instead of answering");
                answers = 1;
            }
            Use::Asks(work) => writeln!(stream, "request {}", work.as_millis())?,
            Use::AsksInVain => stream.write_all(b"request never\n")?,
        }
        let local = stream.local_addr()?;
        Ok(Self(std::thread::spawn(move || {
            // both halves are held until the end, so that only the server closes
            let _stream = stream;
            let end = loop {
                match reader.read_line(&mut String::new()) {
                    Ok(0) => break End::Eof,
                    Ok(_) => answers += 1,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                    Err(error) => break End::Other(error.kind()),
                }
            };
            Seen { local: Some(local), answers, end, ended_at: boot_ns() }
        })))
    }

    /// What it saw, once it has ended.
    pub fn seen(self) -> anyhow::Result<Seen> {
        self.0.join().map_err(|_| anyhow::anyhow!("a client panicked"))
    }
}

/// Opens several connections, one after the other.
pub fn open_all(server: SocketAddr, uses: impl IntoIterator<Item = Use>) -> anyhow::Result<Vec<Connection>> {
    uses.into_iter().map(|usage| Connection::open(server, usage)).collect()
}

/// What all of them saw.
pub fn seen_by_all(connections: Vec<Connection>) -> anyhow::Result<Vec<Seen>> {
    connections.into_iter().map(Connection::seen).collect()
}

/// How many ended in that way.
pub fn count(seen: &[Seen], end: End) -> u64 {
    seen.iter().filter(|one| one.end == end).count() as u64
}

/// One attempt to connect: refused, or came up and was closed by us at once.
pub fn knock(server: SocketAddr) -> Seen {
    let attempt = TcpStream::connect_timeout(&server, Duration::from_secs(2));
    let (local, end) = match attempt {
        Ok(stream) => (stream.local_addr().ok(), End::Eof),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => (None, End::Refused),
        Err(error) => (None, End::Other(error.kind())),
    };
    Seen { local, answers: 0, end, ended_at: boot_ns() }
}
