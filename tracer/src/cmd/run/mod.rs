//! `gracetrace run -- CMD`: the whole job with no Kubernetes and no container runtime. CMD runs in a
//! cgroup of its own; when it is to stop, gracetrace plays the kubelet's part: stop signal, grace
//! period, SIGKILL.

mod cgroup;
mod child;
mod spawn;
mod stop;

use super::signals::Signals;
use super::{Exit, console, reports, session};
use crate::cli::{RunArgs, duration_text};
use crate::input::{CgroupFound, TraceScope};
use crate::pipeline::{Parts, Pipeline};
use crate::signal::{self, SIGKILL};
use crate::source::cgroupfs::CgroupTree;
use crate::source::clock;
use anyhow::{Context, bail};
use cgroup::RunCgroup;
use child::Main;
use std::time::Duration;
use stop::{Act, Happened, Phase};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// How often it is looked whether the cgroup is empty once the main process has gone.
const LOOK: Duration = Duration::from_millis(20);
/// The kernel takes down a PID namespace by itself; only what is left after this long is killed here.
const NAMESPACE_TEARDOWN: Duration = Duration::from_secs(1);
/// How long the report may take once the cgroup is empty …
const REPORT: Duration = Duration::from_secs(3);
/// … and how long the cgroup may take to become empty once the main process has gone.
const EMPTY: Duration = Duration::from_secs(10);
/// With the last of so many the command is cleared away …
const SIGNALS: usize = 3;
/// … and gracetrace is gone so long after it, whatever holds it up.
const LAST: Duration = Duration::from_secs(3);
/// As good as never.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Runs the command, stops it, reports.
pub(super) async fn run(args: &RunArgs, kernel_log: bool) -> anyhow::Result<Exit> {
    let mut signals = Signals::new(SIGNALS, LAST)?;
    let tree = CgroupTree::find(args.probes.cgroups.cgroup_hierarchy.wish()).context("cannot trace")?;
    // dropped last, when the main process has been taken leave of
    let cgroup = RunCgroup::create(&tree)?;
    let mut pipeline = prepare(args, kernel_log, &tree, &cgroup)?;
    let (main, gone) = Main::start(&args.command, cgroup.door()?, args.pid_namespace)?;
    let begun = Instant::now();
    let mut kubelet = Kubelet {
        args,
        cgroup: &cgroup,
        main,
        phase: Phase::Running,
        stop_at: args.stop_after.map_or(begun + NEVER, |after| begun + after),
        kill_at: begun + NEVER,
        gone_at: None,
        empty_at: None,
    };
    kubelet.play(&mut pipeline, &mut signals, gone).await?;
    if pipeline.reports() == 0 {
        // the kernel's word for the end did not come: what is known is reported, and says so
        pipeline.finish().await?;
    } else {
        pipeline.close().await;
    }
    if pipeline.reports() == 0 {
        bail!("the command has ended and no report came of it; run again with --record FILE and tell us");
    }
    pipeline.flush();
    pipeline.tell_counts();
    Ok(if pipeline.has_lost() { Exit::Failed } else { Exit::reported(&pipeline) })
}

fn prepare(args: &RunArgs, kernel_log: bool, tree: &CgroupTree, cgroup: &RunCgroup) -> anyhow::Result<Pipeline> {
    let id = tree.id(&cgroup.path).context("cannot trace the cgroup of the command")?;
    let probes = session::load_probes(&args.probes, tree, false, kernel_log)?;
    let scope = TraceScope::Command { cgroup: id, program: program(args), stop_signal: args.stop_signal };
    let session = session::begin(&args.probes, &probes, scope, Some(args.grace_period));
    let log = session::record(&args.probes, &session)?;
    let output = reports::to_stdout(&args.output, &session.scope, None);
    let mut pipeline = Pipeline::start(Parts { probes, session, log, output })?;
    pipeline.look_at_sockets(tree);
    let at = clock::boot_now();
    pipeline.adopt_cgroup(CgroupFound { at, id, pod: id, path: cgroup.path.clone(), processes: Vec::new() })?;
    Ok(pipeline)
}

/// The command's name without its folder.
fn program(args: &RunArgs) -> String {
    let word = args.command.first().map(std::path::Path::new);
    let name = word.and_then(|path| path.file_name()).unwrap_or_default();
    crate::text::clean(&name.to_string_lossy())
}

/// Stops the command as the kubelet stops a container.
struct Kubelet<'a> {
    args: &'a RunArgs,
    cgroup: &'a RunCgroup,
    main: Main,
    phase: Phase,
    stop_at: Instant,
    kill_at: Instant,
    gone_at: Option<Instant>,
    empty_at: Option<Instant>,
}

impl Kubelet<'_> {
    /// Until the report is out, or cannot be hoped for any more.
    async fn play(
        &mut self,
        pipeline: &mut Pipeline,
        signals: &mut Signals,
        mut gone: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        while pipeline.reports() == 0 {
            let look_at = Instant::now() + if self.gone_at.is_some() { LOOK } else { NEVER };
            tokio::select! {
                step = pipeline.next() => step?,
                name = signals.next() => self.on(Happened::Told, name, pipeline)?,
                () = sleep_until(self.stop_at), if self.phase == Phase::Running => {
                    let reason = format!("--stop-after {}", duration_text(&self.args.stop_after.unwrap_or_default()));
                    self.on(Happened::StopAfter, &reason, pipeline)?;
                }
                () = sleep_until(self.kill_at), if self.phase == Phase::Stopping => {
                    self.on(Happened::GraceOver, "grace period over", pipeline)?;
                }
                _ = &mut gone, if self.gone_at.is_none() => {
                    self.gone_at = Some(Instant::now());
                    self.on(Happened::Gone, "gone", pipeline)?;
                    self.clean_up();
                }
                () = sleep_until(look_at), if self.gone_at.is_some() => self.clean_up(),
            }
            if passed(self.empty_at, REPORT) || (self.empty_at.is_none() && passed(self.gone_at, EMPTY)) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn on(&mut self, happened: Happened, reason: &str, pipeline: &mut Pipeline) -> anyhow::Result<()> {
        match self.phase.on(happened) {
            Act::Nothing => Ok(()),
            // as with containerd, no time to stop is no stop signal
            Act::Stop if self.args.grace_period.is_zero() => {
                pipeline.stop_requested(reason.to_owned());
                self.on(Happened::GraceOver, reason, pipeline)
            }
            Act::Stop => {
                let grace = duration_text(&self.args.grace_period);
                let name = signal::name(self.args.stop_signal);
                console::say(&format!("sending {name} ({reason}), grace period {grace}…"));
                pipeline.stop_requested(reason.to_owned());
                let sent = self.main.signal(self.args.stop_signal);
                // counted from when it has been sent, or the kill could come before the period is over
                self.kill_at = Instant::now() + self.args.grace_period;
                sent
            }
            Act::Kill => {
                console::say(&format!("sending SIGKILL ({reason})…"));
                self.main.signal(SIGKILL)
            }
            Act::GiveUp => bail!("{reason} came again: the command is cleared away, without a report"),
        }
    }

    /// What a runtime does when the main process has gone: the others go as well.
    fn clean_up(&mut self) {
        if self.empty_at.is_some() {
            return;
        }
        if self.cgroup.is_empty() {
            self.empty_at = Some(Instant::now());
            return;
        }
        if !self.args.pid_namespace || passed(self.gone_at, NAMESPACE_TEARDOWN) {
            self.cgroup.kill();
        }
    }
}

fn passed(since: Option<Instant>, span: Duration) -> bool {
    since.is_some_and(|since| since.elapsed() > span)
}
