//! `gracetrace` and `gracetrace --pod NAME`: traces pods from the kernel until told to stop, or until
//! the one pod has ended.

use super::signals::Signals;
use super::waiting::Told;
use super::{Exit, console, reports, session};
use crate::cli::TraceArgs;
use crate::input::{PodFacts, TraceScope};
use crate::pipeline::{Parts, Pipeline, Target};
use crate::source::cgroupfs::CgroupTree;
use crate::source::runtime;
use anyhow::{Context, anyhow};
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Traces.
pub(super) async fn trace(args: &TraceArgs, kernel_log: bool) -> anyhow::Result<Exit> {
    let mut signals = Signals::new(2, Duration::ZERO)?;
    if let Some(endpoint) = &args.runtime_endpoint {
        runtime::check_endpoint(endpoint)
            .await
            .map_err(|line| anyhow!(line))
            .context("cannot use --runtime-endpoint")?;
    }
    let mut pipeline = start(args, kernel_log)?;
    let stopped = match &args.pod {
        Some(name) => watch_pod(args, name, &mut pipeline, &mut signals).await?,
        None => watch_node(&mut pipeline, &mut signals).await?,
    };
    let exit = match stopped {
        Watched::Reported => {
            pipeline.close().await;
            Exit::reported(&pipeline)
        }
        Watched::TimedOut(told) => {
            signals.end_at_next();
            pipeline.finish().await?;
            // an end that had begun by then is reported, as far as it had come
            if pipeline.reports() > 0 {
                Exit::reported(&pipeline)
            } else {
                console::say(&told.too_long(pipeline.target()));
                Exit::TimedOut
            }
        }
        Watched::Stopped => {
            pipeline.finish().await?;
            Exit::reported(&pipeline)
        }
    };
    if pipeline.reports() == 0
        && pipeline.ended_nameless() > 0
        && pipeline.target().is_some_and(|one| one.found().is_none())
    {
        console::say(&nameless(pipeline.ended_nameless(), args.pod.as_deref().unwrap_or_default()));
    }
    pipeline.tell_counts();
    Ok(if pipeline.has_lost() { Exit::Failed } else { exit })
}

/// Why watching came to its end.
enum Watched {
    Reported,
    /// `--timeout` has passed.
    TimedOut(Told),
    /// A signal asked for it.
    Stopped,
}

fn start(args: &TraceArgs, kernel_log: bool) -> anyhow::Result<Pipeline> {
    let namespace = args.only_namespace();
    let scope = match &args.pod {
        Some(name) => TraceScope::Pod { namespace: namespace.map(str::to_owned), name: name.clone() },
        None => TraceScope::Node,
    };
    let tree = CgroupTree::find(args.probes.cgroups.cgroup_hierarchy.wish()).context("cannot trace")?;
    let probes = session::load_probes(&args.probes, &tree, true, kernel_log)?;
    let session = session::begin(&args.probes, &probes, scope, args.grace_period);
    let log = session::record(&args.probes, &session)?;
    // whether one pod is the one that was asked for the engine judges, which knows that a uid has one namespace
    let only = namespace.filter(|_| args.pod.is_none());
    let output = reports::to_stdout(&args.output, &session.scope, only);
    // the daemon outlives a full disk, one report does not
    let output = if args.pod.is_some() { output } else { output.enduring() };
    let mut pipeline = Pipeline::start(Parts { probes, session, log, output })?;
    let target = args.pod.as_ref().map(|name| Target::new(namespace, name));
    pipeline.resolve(args.runtime_endpoint.clone(), target);
    pipeline.look_at_sockets(&tree);
    let pods = pipeline.adopt(&tree)?;
    if pods == 0 && !tree.is_whole() {
        tracing::warn!(
            "{} is a part of the node's cgroups, and no pod is in it: of pods that are made no sockets can be read. In a container, mount the node's /sys/fs/cgroup there",
            tree.root().display()
        );
    }
    if args.pod.is_none() {
        console::say(&format!("tracing every pod on this node ({pods} now)…"));
    }
    Ok(pipeline)
}

async fn watch_node(pipeline: &mut Pipeline, signals: &mut Signals) -> anyhow::Result<Watched> {
    loop {
        tokio::select! {
            step = pipeline.next() => step?,
            _ = signals.next() => return Ok(Watched::Stopped),
        }
    }
}

async fn watch_pod(
    args: &TraceArgs,
    name: &str,
    pipeline: &mut Pipeline,
    signals: &mut Signals,
) -> anyhow::Result<Watched> {
    let mut asked = Some(ask(args, name));
    let mut told = Told::new(args.timeout);
    let mut timeout = pin!(pass(args.timeout));
    while pipeline.reports() == 0 {
        tokio::select! {
            step = pipeline.next() => step?,
            _ = signals.next() => return Ok(Watched::Stopped),
            pods = answer(&mut asked) => pipeline.targets_named(pods)?,
            () = told.tick() => {}
            () = &mut timeout => return Ok(Watched::TimedOut(told)),
        }
        told.progress(pipeline.target(), asked.is_none());
    }
    Ok(Watched::Reported)
}

/// Pods that ended before their names came, while this one was waited for.
fn nameless(count: u64, wanted: &str) -> String {
    let (pods, names, among) = match count {
        1 => ("1 pod".to_owned(), "its name", "that was it"),
        more => (format!("{more} pods"), "their names", "it was among them"),
    };
    format!(
        "gracetrace: {pods} ended before anybody could tell {names}; if {among}, the end of {wanted} is not reported: trace it by its uid, or every pod without --pod"
    )
}

/// Asks every source for pods of that name, beside the tracing.
fn ask(args: &TraceArgs, name: &str) -> JoinHandle<Vec<PodFacts>> {
    let (endpoint, namespace) = (args.runtime_endpoint.clone(), args.only_namespace().map(str::to_owned));
    let name = name.to_owned();
    tokio::spawn(async move { runtime::pods_named(endpoint.as_deref(), namespace.as_deref(), &name).await })
}

/// The answer, once; for ever after, nothing.
async fn answer(asked: &mut Option<JoinHandle<Vec<PodFacts>>>) -> Vec<PodFacts> {
    let Some(task) = asked else { return std::future::pending().await };
    let pods = task.await.unwrap_or_else(|error| {
        tracing::warn!("nobody could be asked for the pod: {error}");
        Vec::new()
    });
    *asked = None;
    pods
}

async fn pass(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::nameless;

    #[test]
    fn what_ended_without_a_name_is_told_with_a_way_out() {
        assert_eq!(
            nameless(1, "web"),
            "gracetrace: 1 pod ended before anybody could tell its name; if that was it, the end of web is not reported: trace it by its uid, or every pod without --pod"
        );
        assert!(
            nameless(3, "web")
                .starts_with("gracetrace: 3 pods ended before anybody could tell their names; if it was among them")
        );
    }
}
