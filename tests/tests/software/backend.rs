//! The server behind the proxies, outside the pods: it answers one request a connection, and as late as the path says.

use crate::image::THE_END;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// The bridge's own address, under which pods reach this machine.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);

/// Starts it; it serves until the run ends.
pub(crate) fn start() -> anyhow::Result<SocketAddr> {
    // the bridge comes with the first pod
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let address = SocketAddr::from((HERE, listener.local_addr()?.port()));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // a proxy that has gone needs no answer
            std::thread::spawn(move || drop(answer(&stream)));
        }
    });
    Ok(address)
}

/// `GET /slow/<milliseconds>`.
fn answer(stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let late = path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    std::thread::sleep(Duration::from_millis(late));
    let mut stream = stream;
    let length = THE_END.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{THE_END}")
}
