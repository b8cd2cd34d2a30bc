//! Clients that write down exactly what each of their connections saw, and when.

mod knock;
mod peer;
mod reader;
mod script;
mod stage;

pub use knock::{Knocks, knock};
pub use peer::{Met, PeerServer};
pub use script::{Line, Reading, Script, Step, Use};
pub use stage::{Release, Stage, Stages};

use crate::clock::{boot_ns, scaled};
use reader::Reader;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long a client waits for what must come at once, on a machine as fast as usual.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An orderly end of stream.
    Eof,
    /// ECONNRESET.
    Reset,
    /// It never came up: ECONNREFUSED.
    Refused,
    /// The client itself closed it before the server did.
    Ours,
    /// The client never looked.
    Unwatched,
    /// Anything else.
    Other(ErrorKind),
}

/// One connection as its client saw it. All times are nanoseconds since boot.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The client's address, by which the report lists it as `peer`.
    pub local: Option<SocketAddr>,
    /// When the attempt began, and when it came up or was refused.
    pub connect: (u64, u64),
    /// Answers received.
    pub answers: usize,
    /// Bytes received.
    pub received: u64,
    /// How it ended.
    pub end: End,
    /// When.
    pub ended_at: u64,
    /// A later write failed: a RST had come for what was sent after the end.
    pub reset_later: bool,
    /// When the steps before the stop were done, and when those after it began and were done.
    pub steps: [u64; 3],
}

/// A client with a thread of its own.
#[derive(Debug)]
pub struct Connection {
    thread: std::thread::JoinHandle<anyhow::Result<Seen>>,
    settled: Receiver<()>,
    /// Its address, if it connected before the stop.
    pub local: Option<SocketAddr>,
}

impl Connection {
    /// Connects (unless the script does so later) and plays the script in a thread.
    pub fn play(
        server: SocketAddr,
        from: Option<SocketAddr>,
        script: &Script,
        stages: &Stages,
    ) -> anyhow::Result<Self> {
        let early = script.before.is_some().then(|| Player::connect(server, from, script)).transpose()?;
        let local = early.as_ref().and_then(|player| player.local);
        let (sender, settled) = channel();
        let (script, stages) = (script.clone(), stages.clone());
        let thread = std::thread::spawn(move || whole(early, server, from, &script, &stages, &sender));
        Ok(Self { thread, settled, local })
    }

    /// Waits until the steps before the stop are done.
    pub fn settle(&self) -> anyhow::Result<()> {
        let patience = scaled(PATIENCE * 2);
        self.settled
            .recv_timeout(patience)
            .map_err(|_| anyhow::anyhow!("a client could not do its steps before the stop"))
    }

    /// What it saw, once it has ended.
    pub fn seen(self) -> anyhow::Result<Seen> {
        self.thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    }
}

/// Opens several connections, one after the other, and waits until they have done their steps.
pub fn open_all(
    server: SocketAddr,
    uses: impl IntoIterator<Item = Use>,
    stages: &Stages,
) -> anyhow::Result<Vec<Connection>> {
    let all: Vec<_> = uses
        .into_iter()
        .map(|usage| Connection::play(server, None, &usage.script(), stages))
        .collect::<anyhow::Result<_>>()?;
    all.iter().try_for_each(Connection::settle)?;
    Ok(all)
}

/// What all of them saw.
pub fn seen_by_all(connections: Vec<Connection>) -> anyhow::Result<Vec<Seen>> {
    connections.into_iter().map(Connection::seen).collect()
}

/// How many ended in that way.
pub fn count(seen: &[Seen], end: End) -> u64 {
    seen.iter().filter(|one| one.end == end).count() as u64
}

fn whole(
    early: Option<Player>,
    server: SocketAddr,
    from: Option<SocketAddr>,
    script: &Script,
    stages: &Stages,
    settled: &Sender<()>,
) -> anyhow::Result<Seen> {
    let mut steps = [0; 3];
    let mut player = early;
    if let Some(player) = &mut player {
        player.steps(script.before.as_deref().unwrap_or_default())?;
    }
    steps[0] = boot_ns();
    // nobody listens once the harness has given up
    let _nobody = settled.send(());
    stages.wait_for(Stage::Stopped)?;
    steps[1] = boot_ns();
    let mut after = script.after.as_slice();
    let mut player = if let Some(player) = player {
        player
    } else {
        // a late client may be later still
        while let [Step::Wait(ms), rest @ ..] = after {
            std::thread::sleep(Duration::from_millis(*ms));
            after = rest;
        }
        Player::connect(server, from, script)?
    };
    player.steps(after)?;
    steps[2] = boot_ns();
    let mut seen = player.watch(script.reading, stages)?;
    seen.steps = steps;
    Ok(seen)
}

/// A connection, or the attempt at one, and what was seen of it.
struct Player {
    stream: Option<Arc<TcpStream>>,
    reader: Option<Reader>,
    local: Option<SocketAddr>,
    connect: (u64, u64),
    received: (usize, usize, u64),
    end: Option<(End, u64)>,
    reset_later: bool,
}

impl Player {
    fn connect(server: SocketAddr, from: Option<SocketAddr>, script: &Script) -> anyhow::Result<Self> {
        let began = boot_ns();
        let attempt = connect(server, from, script.mptcp);
        let came = boot_ns();
        let mut player = Self {
            stream: None,
            reader: None,
            local: None,
            connect: (began, came),
            received: (0, 0, 0),
            end: None,
            reset_later: false,
        };
        match attempt {
            Ok(stream) => {
                player.local = Some(stream.local_addr()?);
                let stream = Arc::new(stream);
                if script.reading == Reading::Always {
                    player.reader = Some(Reader::start(&stream));
                }
                player.stream = Some(stream);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => player.end = Some((End::Refused, came)),
            Err(error) => player.end = Some((End::Other(error.kind()), came)),
        }
        Ok(player)
    }

    fn steps(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            let Some(stream) = self.stream.clone() else { return Ok(()) };
            match *step {
                Step::Say(line) => {
                    let mut said = line.text().into_bytes();
                    // at once: between the two a server may do what it was told, and be gone
                    if let Some(Step::Bytes(count)) = steps.next_if(|next| matches!(next, Step::Bytes(_))) {
                        said.resize(said.len() + usize::try_from(*count)?, b'x');
                    }
                    self.send(&stream, &said);
                }
                Step::Bytes(count) => self.send(&stream, &vec![b'x'; usize::try_from(count)?]),
                Step::Wait(ms) => std::thread::sleep(Duration::from_millis(ms)),
                Step::Receive => {
                    self.received.0 += 1;
                    let reader = self.reader.as_ref();
                    reader.map_or(Ok(()), |reader| reader.wait_for_answers(self.received.0, PATIENCE))?;
                }
                Step::AwaitEnd => {
                    self.reader.as_ref().map_or(Ok(()), |reader| reader.wait_for_end(PATIENCE))?;
                }
                // it may be closed already; then the end tells
                Step::HalfClose => drop(stream.shutdown(Shutdown::Write)),
                Step::Reset => self.leave(stream, true)?,
                Step::Close => self.leave(stream, false)?,
            }
        }
        Ok(())
    }

    fn send(&mut self, mut stream: &TcpStream, bytes: &[u8]) {
        // the reader sees what kind of end it is; that there was one already only a writer sees
        self.reset_later |= stream.write_all(bytes).is_err();
    }

    /// Closes; nothing else may hold the stream then.
    fn leave(&mut self, stream: Arc<TcpStream>, reset: bool) -> anyhow::Result<()> {
        if let Some(reader) = self.reader.take() {
            reader.dismiss(&stream);
            let end = self.take_in(reader)?;
            self.end = self.end.or(end);
        }
        self.end = self.end.or(Some((End::Ours, boot_ns())));
        self.stream = None;
        if reset {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
        }
        anyhow::ensure!(Arc::into_inner(stream).is_some(), "a stream that is to be closed is held elsewhere");
        Ok(())
    }

    /// Joins the reader; its end, if the server (or a RST) made one.
    fn take_in(&mut self, reader: Reader) -> anyhow::Result<Option<(End, u64)>> {
        let read = reader.join()?;
        self.received.1 += read.answers;
        self.received.2 += read.bytes;
        Ok(read.end)
    }

    fn watch(mut self, reading: Reading, stages: &Stages) -> anyhow::Result<Seen> {
        if let Some(stream) = self.stream.take() {
            match reading {
                Reading::Always => {}
                Reading::AfterTheEnd => {
                    stages.wait_for(Stage::Ended)?;
                    self.reader = Some(Reader::start(&stream));
                }
                Reading::NeverThenReset => {
                    stages.wait_for(Stage::Ended)?;
                    self.leave(stream, true)?;
                    return Ok(self.seen());
                }
                Reading::Never => {
                    stages.wait_for(Stage::Reported)?;
                    self.end = Some((End::Unwatched, boot_ns()));
                }
            }
            if let Some(reader) = self.reader.take() {
                // both halves are held until the end, so that only the server closes
                let end = self.take_in(reader)?;
                self.end = self.end.or(end);
            }
        }
        Ok(self.seen())
    }

    fn seen(self) -> Seen {
        let (end, ended_at) = self.end.unwrap_or((End::Ours, boot_ns()));
        Seen {
            local: self.local,
            connect: self.connect,
            answers: self.received.1,
            received: self.received.2,
            end,
            ended_at,
            reset_later: self.reset_later,
            steps: [0; 3],
        }
    }
}

fn connect(server: SocketAddr, from: Option<SocketAddr>, mptcp: bool) -> std::io::Result<TcpStream> {
    let protocol = if mptcp { Protocol::MPTCP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(protocol))?;
    if let Some(from) = from {
        socket.bind(&SockAddr::from(from))?;
    }
    socket.connect_timeout(&SockAddr::from(server), scaled(PATIENCE))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    Ok(stream)
}
