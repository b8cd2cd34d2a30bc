//! The server behind the proxies, outside the pods: it answers one request a connection, as late as the path says, and
//! writes down how the proxy ended the connection.

use crate::image::THE_END;
use gracetrace_tests::client::End;
use gracetrace_tests::clock::wait_until;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The bridge's own address, under which pods reach this machine.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);

/// The server; it serves until the run ends.
pub(crate) struct Backend {
    /// Where pods reach it.
    pub(crate) address: SocketAddr,
    met: Arc<Mutex<Vec<Met>>>,
}

/// A connection from a pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Met {
    pub(crate) peer: SocketAddr,
    /// None while it is open.
    pub(crate) end: Option<End>,
}

impl Backend {
    pub(crate) fn start() -> anyhow::Result<Self> {
        // the bridge comes with the first pod
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let address = SocketAddr::from((HERE, listener.local_addr()?.port()));
        let met = Arc::<Mutex<Vec<Met>>>::default();
        let shared = Arc::clone(&met);
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                let shared = Arc::clone(&shared);
                let index = {
                    let mut met = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    met.push(Met { peer, end: None });
                    met.len() - 1
                };
                std::thread::spawn(move || {
                    let end = serve(&stream);
                    shared.lock().unwrap_or_else(PoisonError::into_inner)[index].end = Some(end);
                });
            }
        });
        Ok(Self { address, met })
    }

    /// How many connections there have been.
    pub(crate) fn count(&self) -> usize {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All connections but the first so many, once they have ended.
    pub(crate) fn met_since(&self, before: usize) -> anyhow::Result<Vec<Met>> {
        wait_until("the proxies' connections to end", Duration::from_secs(25), || {
            let met = self.met.lock().unwrap_or_else(PoisonError::into_inner)[before..].to_vec();
            met.iter().all(|one| one.end.is_some()).then_some(met)
        })
    }
}

fn serve(stream: &TcpStream) -> End {
    // a test that failed must not be waited for
    let _limited = stream.set_read_timeout(Some(Duration::from_secs(20)));
    match answer(stream) {
        Ok(()) => End::Eof,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
        Err(error) => End::Other(error.kind()),
    }
}

/// `GET /slow/<milliseconds>`; then until the end.
fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let late = path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    std::thread::sleep(Duration::from_millis(late));
    let length = THE_END.len();
    let said = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{THE_END}");
    // a proxy that has gone tells so by how it went, which a write does not show
    let _its_end_tells = said.and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    stream.read_to_end(&mut Vec::new()).map(drop)
}
