//! HTTP with a connection for each request: a server in one thread, and a client that asks in turn.

use super::kinds::{control, timed};
use anyhow::ensure;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// How long the control goes on between two slices.
const CONTROL: Duration = Duration::from_millis(5);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
const QUIT: &[u8] = b"GET /quit HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 512\r\nConnection: close\r\n\r\n";
const BODY: [u8; 512] = [b'x'; 512];

/// On all addresses, so that clients can use many.
pub(super) fn listen() -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?)
}

/// Answers until it is told to quit.
pub(super) fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 512];
        let mut length = 0;
        while !request[..length].ends_with(b"\r\n\r\n") && length < request.len() {
            match stream.read(&mut request[length..]) {
                Ok(0) | Err(_) => break,
                Ok(more) => length += more,
            }
        }
        // a client that has gone is not the server's trouble
        let _gone = stream.write_all(HEAD).and_then(|()| stream.write_all(&BODY));
        if request[..length].starts_with(b"GET /quit ") {
            return Ok(());
        }
    }
}

/// Tells the server to quit.
pub(super) fn quit(port: u16) -> anyhow::Result<()> {
    request(Ipv4Addr::LOCALHOST, port, QUIT)
}

/// Requests for so long in each of so many slices; and between them the control.
pub(super) fn requests(port: u16, slice: Duration, slices: u32) -> anyhow::Result<String> {
    let mut lines = String::new();
    for index in 0..slices {
        let to = Ipv4Addr::new(127, 1, u8::try_from(std::process::id() & 0xff)?, 1 + u8::try_from(index)?);
        let (count, took) = timed(CONTROL, Duration::ZERO, &mut control)?;
        writeln!(lines, "control {count} {}", took.as_nanos())?;
        let (count, took) = timed(slice, Duration::ZERO, &mut || request(to, port, REQUEST))?;
        writeln!(lines, "http {count} {}", took.as_nanos())?;
    }
    Ok(lines)
}

fn request(to: Ipv4Addr, port: u16, request: &[u8]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((to, port))?;
    stream.write_all(request)?;
    let mut answer = [0; 2048];
    let mut length = 0;
    while length < answer.len() {
        match stream.read(&mut answer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    // whoever serves has headers of its own
    ensure!(answer.starts_with(b"HTTP/1.1 200 ") && length > BODY.len(), "an answer of {length} bytes");
    Ok(())
}
