//! Clients of real protocols: each says something, sees what comes, and writes down how its connection ended.

use gracetrace_tests::client::{End, Seen, Stage, Stages};
use gracetrace_tests::clock::{boot_ns, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A client: what it does before the stop, and what a whole answer is to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// Sent when the connection is up.
    pub(crate) says: &'static [u8],
    /// Must have come before the stop: the connection is idle then, or its answer is on its way.
    pub(crate) hears: &'static [u8],
    /// Sent so many milliseconds after that.
    pub(crate) then_says: (u64, &'static [u8]),
    /// Once this has come, it has all that it asked for.
    pub(crate) wants: &'static [u8],
    /// It reads what comes. If not, the server is left with an answer that nobody takes.
    pub(crate) reads: bool,
}

/// What a client has seen.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) seen: Seen,
    /// It had all that it asked for.
    pub(crate) whole: bool,
}

/// A client whose connection is up.
pub(crate) struct Connected {
    thread: JoinHandle<Heard>,
    shared: Arc<Shared>,
    client: Client,
    stream: TcpStream,
}

#[derive(Default)]
struct Shared {
    /// The end of what came.
    text: Mutex<Vec<u8>>,
    heard: AtomicBool,
    ended: AtomicBool,
}

/// No more of an answer is kept than this: what it ends with.
const KEPT: usize = 4096;

impl Client {
    /// Connects, and does what it does before the stop.
    pub(crate) fn connect(self, server: SocketAddr, stages: &Stages) -> anyhow::Result<Connected> {
        let began = boot_ns();
        let socket = socket2::Socket::new(socket2::Domain::for_address(server), socket2::Type::STREAM, None)?;
        if !self.reads {
            // little fits between the two, so that the server is left with most of it
            socket.set_recv_buffer_size(8 << 10)?;
        }
        socket.connect_timeout(&server.into(), Duration::from_secs(5))?;
        let mut stream = TcpStream::from(socket);
        let connect = (began, boot_ns());
        stream.set_nodelay(true)?;
        // a test that failed must not be waited for
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let local = Some(stream.local_addr()?);
        stream.write_all(self.says)?;
        let (shared, stages) = (Arc::<Shared>::default(), stages.clone());
        let (inner, mut writer) = (Arc::clone(&shared), stream.try_clone()?);
        let thread = std::thread::spawn(move || {
            let (mut received, mut end) = (0, End::Unwatched);
            if self.reads {
                (received, end) = read(&mut stream, &inner, self.hears);
            } else if stages.wait_for(Stage::Reported).is_err() {
                end = End::Ours;
            }
            inner.ended.store(true, Ordering::SeqCst);
            let whole = inner.contains(self.wants);
            let seen = Seen {
                local,
                connect,
                answers: usize::from(whole),
                received,
                end,
                ended_at: boot_ns(),
                reset_later: false,
                steps: [0; 3],
            };
            Heard { seen, whole }
        });
        let connected = Connected { thread, shared, client: self, stream: writer.try_clone()? };
        connected.hear()?;
        std::thread::sleep(Duration::from_millis(self.then_says.0));
        writer.write_all(self.then_says.1)?;
        Ok(connected)
    }
}

impl Connected {
    fn hear(&self) -> anyhow::Result<()> {
        let (shared, Client { what, hears, .. }) = (&self.shared, self.client);
        if hears.is_empty() {
            return Ok(());
        }
        let heard = || shared.heard.load(Ordering::SeqCst);
        wait_until(&format!("what {what:?} must hear"), Duration::from_secs(5), || {
            (heard() || shared.ended.load(Ordering::SeqCst)).then_some(())
        })?;
        anyhow::ensure!(heard(), "{what:?} did not hear what it must");
        Ok(())
    }

    /// Closes the connection and waits until the server has done so too.
    pub(crate) fn leave(self) -> anyhow::Result<()> {
        // it may be closed already
        drop(self.stream.shutdown(Shutdown::Write));
        self.heard().map(drop)
    }

    /// What it saw, once its connection has ended.
    pub(crate) fn heard(self) -> anyhow::Result<Heard> {
        self.thread.join().map_err(|_| anyhow::anyhow!("{:?} panicked", self.client.what))
    }
}

impl Shared {
    fn contains(&self, text: &[u8]) -> bool {
        contains(&self.text.lock().unwrap_or_else(PoisonError::into_inner), text)
    }
}

fn contains(heard: &[u8], text: &[u8]) -> bool {
    text.is_empty() || heard.windows(text.len()).any(|window| window == text)
}

fn read(stream: &mut TcpStream, shared: &Shared, hears: &[u8]) -> (u64, End) {
    let (mut received, mut buffer) = (0, [0; 16 << 10]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (received, End::Eof),
            Ok(count) => {
                received += count as u64;
                let mut text = shared.text.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(&buffer[..count]);
                if contains(&text, hears) {
                    shared.heard.store(true, Ordering::SeqCst);
                }
                let surplus = text.len().saturating_sub(KEPT);
                text.drain(..surplus);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (received, End::Reset),
            Err(error) => return (received, End::Other(error.kind())),
        }
    }
}
