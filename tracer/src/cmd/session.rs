//! What is known about the tracing itself when it begins.

use crate::cli::{ProbeArgs, duration_text};
use crate::input::{Session, TraceScope};
use crate::log;
use crate::source::cgroupfs::CgroupTree;
use crate::source::clock;
use crate::source::probe::{ProbeOptions, Probes};
use crate::text;
use anyhow::Context;
use std::fs::File;
use std::time::Duration;

/// Loads and attaches the probes.
pub(super) fn load_probes(
    args: &ProbeArgs,
    tree: &CgroupTree,
    follow_new_pods: bool,
    kernel_log: bool,
) -> anyhow::Result<Probes> {
    tracing::info!("{} at {}", tree.hierarchy(), tree.root().display());
    let options =
        ProbeOptions { hierarchy: tree.hierarchy(), follow_new_pods, ring_bytes: args.ring_buffer_size, kernel_log };
    let probes = Probes::load(&options).context("cannot trace")?;
    Ok(probes)
}

/// The session, now that every probe is attached.
pub(super) fn begin(args: &ProbeArgs, probes: &Probes, scope: TraceScope, grace: Option<Duration>) -> Session {
    let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    if let Some(grace) = &grace {
        tracing::info!("grace period where no pod tells its own: {}", duration_text(grace));
    }
    let mut sees = probes.sees();
    if matches!(scope, TraceScope::Command { .. }) && !sees.on_host_network {
        // the command shares a network namespace with us, if not with the whole node
        (sees.connections, sees.refused) = (false, false);
    }
    Session {
        started_at: clock::boot_now(),
        wall_offset_ns: clock::wall_offset_ns(),
        node: node(args.node.clone()),
        kernel: kernel_release(),
        tracer_tgid: std::process::id(),
        default_grace_ms: grace_ms,
        scope,
        max_connections: args.max_connections,
        limits: probes.limits(),
        sees,
    }
}

/// The log that `--record` asks for.
pub(super) fn record(args: &ProbeArgs, session: &Session) -> anyhow::Result<Option<log::Writer<File>>> {
    let Some(path) = &args.record else { return Ok(None) };
    let writer = log::Writer::create(path, session)
        .with_context(|| format!("cannot record to {}: choose another --record FILE", path.display()))?;
    Ok(Some(writer))
}

/// `uname -r`.
pub(super) fn kernel_release() -> String {
    text::clean(&rustix::system::uname().release().to_string_lossy())
}

/// `--node`, else what a `DaemonSet` passes down from the API, else the host's name.
fn node(asked: Option<String>) -> Option<String> {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let passed = || std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty());
    let name = text::clean(&asked.or_else(passed).unwrap_or_else(host));
    Some(name).filter(|name| !name.is_empty())
}
