//! The server of the demo: HTTP just enough for its clients, with a graceful shutdown that takes too long.
//!
//! At SIGTERM it takes no more connections, ends those that wait for a request, and lets exports run out.

use anyhow::{Context, Result};
use signal_hook::consts::SIGTERM;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long the server works on an export before it answers.
pub(crate) const EXPORT: Duration = Duration::from_secs(10);
/// Between two requests of a client.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// The answer to any request.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// How soon a thread sees that the server is stopping.
const POLL: Duration = Duration::from_millis(20);

/// Serves until SIGTERM and until the last connection has ended.
pub(crate) fn run(port: u16) -> Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&stopping)).context("can't handle SIGTERM")?;
    let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("can't listen on port {port}"))?;
    listener.set_nonblocking(true).context("can't poll the listener")?;

    let mut connections = Vec::new();
    while !stopping.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let stopping = Arc::clone(&stopping);
                connections.push(thread::spawn(move || serve(&stream, &stopping)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(POLL),
            Err(error) => return Err(error).context("can't accept connections"),
        }
    }
    drop(listener);
    eprintln!("server: SIGTERM, closing; waiting for exports that are under way");
    for connection in connections {
        // a client that went away is not the server's trouble
        let _ended = connection.join();
    }
    Ok(())
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, stopping: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(POLL))?;
    let mut requests = BufReader::new(stream).lines();
    let mut path = None;
    loop {
        match requests.next() {
            Some(Ok(line)) if line.is_empty() => answer(stream, path.take().as_deref())?,
            Some(Ok(line)) => path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned)),
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
        if stopping.load(Ordering::Relaxed) && path.is_none() {
            return Ok(());
        }
    }
}

fn answer(mut stream: &TcpStream, path: Option<&str>) -> io::Result<()> {
    if path == Some("/export") {
        thread::sleep(EXPORT);
    }
    stream.write_all(ANSWER)
}
