//! The victim as a client that comes again and again: a probe, a load balancer that knows nothing yet.

use crate::stamps::Stamps;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connects `count` times, one `every` so often; each attempt is stamped `refused` or `answered LOCAL`.
pub(crate) fn knock(addr: &str, count: u64, every: Duration, stamps: &Stamps) {
    stamps.now("ready", "");
    let begun = Instant::now();
    for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        std::thread::sleep((every * number).saturating_sub(begun.elapsed()));
        match once(addr) {
            Ok(local) => stamps.now("answered", &local),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => stamps.now("refused", ""),
            Err(error) => crate::usage(&format!("{addr}: {error}")),
        }
    }
    stamps.now("exit", "");
}

/// One request and its answer.
fn once(addr: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(b"request 0\n")?;
    let mut answer = [0; 16];
    if stream.read(&mut answer)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream.local_addr()?.to_string())
}
