//! nginx as a load, for `cargo xtask bench`: unpacked as the `software` tier does it, nothing installed, and started in its own
//! root with one worker. It knows nothing of tracers.
//!
//! ```text
//! nginx files --cache FOLDER --root FOLDER                 unpacks it
//! nginx serve --root FOLDER --results FILE [--after-term]  starts it, and ends it once somebody connects to the second port
//! ```

use anyhow::{Context, bail, ensure};
use gracetrace_tests::node::Packages;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Dependencies of its maintainer scripts.
const WITHOUT: [&str; 4] = ["perl", "libperl", "dpkg", "usrmerge"];
/// As little as there can be beside the connections themselves: a file of 512 bytes, no access log.
const CONF: &str = "daemon off; user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr;
events { worker_connections 512; }
http { access_log off; server { listen @PORT@; root /srv/www; } }
";
const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33:www-data:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\n";
/// How long it may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Options {
    cache: PathBuf,
    root: PathBuf,
    results: PathBuf,
    /// Begin only when SIGTERM has come.
    after_term: bool,
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let what = words.next().context("say what: files or serve")?;
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().map(PathBuf::from).with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--cache" => options.cache = value()?,
            "--root" => options.root = value()?,
            "--results" => options.results = value()?,
            "--after-term" => options.after_term = true,
            other => bail!("no such option: {other}"),
        }
    }
    match what.as_str() {
        "files" => files(&options),
        "serve" => serve(&options),
        other => bail!("neither files nor serve: {other}"),
    }
}

fn files(options: &Options) -> anyhow::Result<()> {
    let Options { cache, root, .. } = options;
    Packages { wanted: &["nginx"], without: &WITHOUT, cache }.unpack_into(root)?;
    for (path, content) in
        [("etc/passwd", PASSWD), ("etc/group", GROUP), ("srv/www/index.html", &"x".repeat(512)), ("run/here", "")]
    {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, content)?;
    }
    Ok(())
}

fn serve(options: &Options) -> anyhow::Result<()> {
    // its handler stands from the beginning: as PID 1 of a pod that is being stopped it goes on
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    if options.after_term {
        runtime.block_on(term.recv());
    }
    let mut cpu = CpuSet::new();
    cpu.set(0);
    sched_setaffinity(None, &cpu).context("can't pin to a CPU")?;
    let quit = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // free a moment ago, and nobody else here looks for one
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port();
    let nginx = Server::start(&options.root, port)?;
    let draft = options.results.with_extension("draft");
    fs::write(&draft, format!("port {port} 0\nquit {} 0\n", quit.local_addr()?.port()))?;
    fs::rename(draft, &options.results)?;
    quit.accept()?;
    nginx.stop()
}

/// It is gone when this is dropped.
struct Server(Child);

impl Server {
    fn start(root: &Path, port: u16) -> anyhow::Result<Self> {
        fs::write(root.join("etc/nginx/bench.conf"), CONF.replace("@PORT@", &port.to_string()))?;
        let mut command = Command::new("chroot");
        command.arg(root).args(["/usr/sbin/nginx", "-c", "/etc/nginx/bench.conf"]);
        let mut server = Self(command.stdin(Stdio::null()).spawn().context("can't start chroot")?);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(server.0.try_wait()?.is_none(), "nginx ended before it listened");
            ensure!(Instant::now() < until, "nginx does not listen");
            std::thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// SIGTERM is its fast shutdown.
    fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        while self.0.try_wait()?.is_none() {
            ensure!(Instant::now() < until, "nginx does not end");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // its worker sees that it has gone, and goes as well
            let _gone = self.0.kill();
        }
        let _reaped = self.0.wait();
    }
}
