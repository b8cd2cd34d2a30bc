//! `cargo xtask demo`: a server is stopped while it serves, and the report tells how that went.
//!
//! A story in which something goes wrong: the server does as it should at SIGTERM, but two exports need
//! longer than its grace period. Server and clients are in this program, so nothing else is needed.

use crate::demo_clients::{Clients, EXPORTS, REQUESTERS};
use crate::{build, process};
use anyhow::{Context, Result, bail};
use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Sets up, builds, plays the story.
pub(crate) fn run() -> Result<()> {
    let binary = build::run(false)?;
    let port = free_port().context("no free port on 127.0.0.1")?;

    process::heading("demo: a server is told to stop after 2 s and has 3 s of grace");
    println!("    {REQUESTERS} clients send a request every 100 ms, {EXPORTS} download an export that takes 10 s");
    let mut tracer = traced_server(&binary, port)?;
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
    explain(seen.answers, seen.exports_cut);
    Ok(())
}

/// `gracetrace run` with the server, as root.
fn traced_server(binary: &Path, port: u16) -> Result<Command> {
    let server = env::current_exe().context("can't find the path of this program")?;
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

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn explain(answers: u64, exports_cut: usize) {
    println!(
        "\n    What this shows: the server had answered {answers} requests when it was told to stop. It took the signal, closed its\n    \
         listener and its idle connections in good order, but waited for {exports_cut} exports for longer than its grace period:\n    \
         it was killed, and {exports_cut} clients were cut off. The report above says so from the kernel alone; the server was not changed."
    );
}
