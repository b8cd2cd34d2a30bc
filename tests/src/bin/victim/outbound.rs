//! The victim as a client: connections that it opens itself and holds.

use crate::stamps::Stamps;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The server may be a container that is still coming up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens all of them; each is stamped `connected LOCAL PEER`, and `answer-seen LOCAL` for every answer.
pub(crate) fn open(connect: &[(String, String)], stamps: &Stamps) -> Vec<TcpStream> {
    connect.iter().map(|(addr, line)| one(addr, line, stamps)).collect()
}

fn one(addr: &str, line: &str, stamps: &Stamps) -> TcpStream {
    let fail = |error: std::io::Error| -> ! { crate::usage(&format!("cannot connect to {addr}: {error}")) };
    let until = Instant::now() + PATIENCE;
    let stream = loop {
        match TcpStream::connect(addr) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => fail(error),
        }
    };
    let local = stream.local_addr().unwrap_or_else(|error| fail(error));
    stamps.now("connected", &format!("{local} {addr}"));
    if !line.is_empty() {
        let said = (&stream).write_all(format!("{line}\n").as_bytes());
        said.unwrap_or_else(|error| fail(error));
    }
    // answers are read beside the server, which may be this very process
    if let Ok(reader) = stream.try_clone() {
        let stamps = stamps.clone();
        std::thread::spawn(move || {
            for _ in BufReader::new(reader).lines().map_while(Result::ok) {
                stamps.now("answer-seen", &format!("{local}"));
            }
        });
    }
    stream
}
