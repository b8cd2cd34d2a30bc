//! `cargo xtask demo`: a server is stopped while it serves, and the report tells how that went.
//!
//! A story in which two things go wrong: the server does as it was taught at SIGTERM, but two exports need longer
//! than its grace period, and clients that come back meet a port that is closed already. Server and clients are in this program, so nothing else is needed.

use crate::demo_clients::{Clients, EXPORTS, REQUESTERS, Seen};
use crate::{build, process};
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Sets up, builds, plays the story.
pub(crate) fn run() -> Result<()> {
    let binary = build::run(false)?;
    let port = free_port().context("no free port on 127.0.0.1")?;

    process::heading("demo: a server is told to stop after 2 s and has 3 s of grace");
    println!("    {REQUESTERS} clients send a request every 100 ms, {EXPORTS} wait for an export that takes 10 s");
    let server = NamedServer::link().context("can't link the demo's server in the temporary folder")?;
    let mut tracer = traced_server(&binary, &server.0, port)?;
    println!("    $ {}\n", process::shown(&tracer));
    let clients = Clients::start(port);
    let status = tracer.status().with_context(|| format!("can't start `{}`", process::shown(&tracer)))?;
    let seen = clients.finish();
    if !status.success() {
        bail!(
            "gracetrace did not trace the server ({status}); its reason is above, and `gracetrace doctor` tells more"
        );
    }
    if seen.exports_cut == 0 {
        bail!("the demo went wrong: no export was cut short, so the server was not stopped while it served");
    }
    explain(&seen);
    Ok(())
}

/// `gracetrace run` with the server, as root.
fn traced_server(binary: &Path, server: &Path, port: u16) -> Result<Command> {
    let mut command = if process::is_root() {
        Command::new(binary)
    } else {
        let sudo = process::find("sudo").context("tracing needs root, and there is no sudo; run the demo as root")?;
        let mut command = Command::new(sudo);
        command.arg(binary);
        command
    };
    command.args(["run", "-o", "text", "--stop-after", "2s", "--grace-period", "3s", "--"]).arg(server);
    command.args(["demo-server", "--port", &port.to_string()]);
    Ok(command)
}

/// A link to this program under the name by which the report is to call the server; gone when dropped.
struct NamedServer(PathBuf);

impl NamedServer {
    fn link() -> io::Result<Self> {
        let folder = env::temp_dir().join(format!("gracetrace-demo-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let link = folder.join("export-server");
        let named = Self(link);
        symlink(env::current_exe()?, &named.0)?;
        Ok(named)
    }
}

impl Drop for NamedServer {
    fn drop(&mut self) {
        // what cannot be removed is a link in the temporary folder, and not worth an error after the demo
        let _link = fs::remove_file(&self.0);
        let _folder = self.0.parent().map(fs::remove_dir);
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn explain(seen: &Seen) {
    let Seen { answers, refused, exports_cut } = seen;
    println!(
        "\n    What this shows: the server had answered {answers} requests when it was told to stop. It took the signal, closed its\n    \
         listener and its idle connections in good order, so {refused} attempts of clients that came back were refused; and it\n    \
         waited for {exports_cut} exports for longer than its grace period: it was killed, and {exports_cut} clients were cut off.\n    \
         The report above says so from the kernel alone; the server was not changed."
    );
}
