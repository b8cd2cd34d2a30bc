//! The reading half of a client, in a thread of its own: it sees answers and the end when they come.

use super::End;
use crate::clock::{boot_ns, wait_until};
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What came in.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) answers: usize,
    pub(super) bytes: u64,
    /// None if the client itself made an end.
    pub(super) end: Option<(End, u64)>,
}

/// A thread that reads.
#[derive(Debug)]
pub(super) struct Reader {
    thread: JoinHandle<Incoming>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: AtomicUsize,
    dismissed: AtomicBool,
}

impl Reader {
    pub(super) fn start(stream: &Arc<TcpStream>) -> Self {
        let (stream, shared) = (Arc::clone(stream), Arc::<Shared>::default());
        let for_thread = Arc::clone(&shared);
        Self { thread: std::thread::spawn(move || read(&stream, &for_thread)), shared }
    }

    pub(super) fn wait_for_answers(&self, count: usize, patience: Duration) -> anyhow::Result<()> {
        let answered = || self.shared.answers.load(Ordering::SeqCst) >= count;
        wait_until(&format!("{count} answers"), patience, || {
            // an answer that came just before the end is in the count
            let is_over = self.thread.is_finished();
            (answered() || is_over).then_some(())
        })?;
        anyhow::ensure!(answered(), "the connection ended before {count} answers had come");
        Ok(())
    }

    pub(super) fn wait_for_end(&self, patience: Duration) -> anyhow::Result<()> {
        wait_until("the server's close", patience, || self.thread.is_finished().then_some(()))
    }

    /// The client is about to close: what ends the reading now is no end of the server's.
    pub(super) fn dismiss(&self, stream: &TcpStream) {
        self.shared.dismissed.store(true, Ordering::SeqCst);
        // fails if it is closed already; then the thread has ended by itself
        drop(stream.shutdown(Shutdown::Read));
    }

    pub(super) fn join(self) -> anyhow::Result<Incoming> {
        self.thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))
    }
}

fn read(mut stream: &TcpStream, shared: &Shared) -> Incoming {
    let (mut incoming, mut buffer) = (Incoming::default(), [0; 16 << 10]);
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break End::Eof,
            Ok(count) => {
                let answers = buffer[..count].split(|byte| *byte == b'\n').count() - 1;
                incoming.bytes += count as u64;
                incoming.answers += answers;
                shared.answers.fetch_add(answers, Ordering::SeqCst);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Err(error) => break End::Other(error.kind()),
        }
    };
    if !shared.dismissed.load(Ordering::SeqCst) {
        incoming.end = Some((end, boot_ns()));
    }
    incoming
}
