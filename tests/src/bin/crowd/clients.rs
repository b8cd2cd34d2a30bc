//! The clients of all pods, in as few processes as the limit of descriptors allows: they say nothing, and see how their
//! connections end.

use super::pod::{Pod, address};
use super::{Options, sys};
use anyhow::{Context, bail, ensure};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it listens, until all of its clients are accepted, or until they see its end.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// Descriptors that a process of clients has beside them.
const SPARE: u64 = 100;
const CONNECTED: &str = "connected";

/// A process of clients. It is gone when this is dropped.
pub(crate) struct Clients {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Clients {
    /// Those of all pods, who begin to connect at once.
    pub(crate) fn start(options: &Options) -> anyhow::Result<Vec<Self>> {
        let room = sys::raise_descriptor_limit()?.saturating_sub(SPARE);
        let each = u32::try_from(room / u64::from(options.connections.max(1)))?.max(1);
        let end = options.first + options.pods;
        let firsts = (options.first..end).step_by(usize::try_from(each)?);
        firsts.map(|first| Self::of(first, each.min(end - first), options.connections)).collect()
    }

    fn of(first: u32, pods: u32, connections: u32) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("clients");
        for (name, value) in [("--first", first), ("--pods", pods), ("--connections", connections)] {
            command.args([name, &value.to_string()]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("can't start clients")?;
        let says = BufReader::new(child.stdout.take().context("clients without a voice")?);
        Ok(Self { child, says })
    }

    /// Waits until all of them are connected.
    pub(crate) fn connected(&mut self) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line == CONNECTED, "the clients said {line:?}");
        Ok(())
    }

    /// Waits until all of them have seen an end: how many an orderly one, and how many a RST.
    pub(crate) fn ends(&mut self) -> anyhow::Result<[u64; 2]> {
        let line = self.line()?;
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().map_err(|_| anyhow::anyhow!("the clients said {line:?}"))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What such a process does.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    sys::raise_descriptor_limit()?;
    let mut all = Vec::new();
    for number in options.first..options.first + options.pods {
        all.extend(connect(number, options.connections)?);
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{CONNECTED}")?;
    let (orderly, reset) = ends(all)?;
    Ok(writeln!(stdout, "{orderly} {reset}")?)
}

/// So many connections to the pod of this number, which may not listen yet.
fn connect(number: u32, count: u32) -> anyhow::Result<Vec<TcpStream>> {
    let (to, until) = (address(number), Instant::now() + PATIENCE);
    let mut clients = Vec::new();
    while clients.len() < usize::try_from(count)? {
        match TcpStream::connect(to) {
            Ok(client) => clients.push(client),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && clients.is_empty() => {
                ensure!(Instant::now() < until, "nobody listens on {to}");
                std::thread::sleep(LOOK);
            }
            Err(error) => return Err(error).with_context(|| format!("can't connect to {to}")),
        }
    }
    Ok(clients)
}

/// Waits until each pod has accepted all: what is in a backlog is refused, not cut.
pub(crate) fn all_accepted(pods: &[Pod], count: u32) -> anyhow::Result<()> {
    let (until, wanted) = (Instant::now() + PATIENCE, usize::try_from(count)? + 1);
    for pod in pods {
        while pod.sockets() < wanted {
            ensure!(Instant::now() < until, "a pod has {} sockets of {wanted}", pod.sockets());
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// How many saw an orderly end, and how many a RST.
fn ends(clients: Vec<TcpStream>) -> anyhow::Result<(u64, u64)> {
    let (mut orderly, mut reset) = (0, 0);
    for mut client in clients {
        client.set_read_timeout(Some(PATIENCE))?;
        match client.read(&mut [0]) {
            Ok(0) => orderly += 1,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => reset += 1,
            other => bail!("a client saw {other:?}"),
        }
    }
    Ok((orderly, reset))
}
