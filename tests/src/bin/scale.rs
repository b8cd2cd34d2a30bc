//! How the engine's cost grows with pods that end at once, for `cargo xtask bench`, in so many runs as are asked for: a line
//! `engine pods inputs nanoseconds` for each number of pods, `floor` for what no engine can do without, `fresh` for what a
//! thousand pods take a process that has no memory yet, and `replay` for the same through `gracetrace replay`, if its path is given.
//!
//! Of each part of a run, some hundred inputs, the fastest of all runs counts: whoever else is on the machine disturbs some part of every
//! run, and the same part of each hardly ever.
//!
//! Inputs are made shortly before they are handed in, as in the pipeline, in memory that is used again and again, which is not counted: of
//! inputs that lie ready by the ten thousand, reading them from memory would be, and they would take the pods' place in the nearer caches.
//!
//! Memory that the kernel has to hand out is no part of the engine's cost, and would be counted by chance: glibc gives the end of its heap
//! back or not, as what lies there happens to be, and a thousand pods are five thousand pages. So the bench tells glibc to
//! keep it, `page-faults` says how many pages were handed out all the same, and `fresh` what they cost.
#![expect(clippy::print_stdout, reason = "what xtask reads is this program's output")]

use anyhow::{Context, ensure};
use gracetrace::engine::Engine;
use gracetrace::input::{CgroupId, ContainerFacts, Input, PodFacts, What};
use gracetrace::log::Writer;
use gracetrace_tests::ending;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Connections that each pod closes.
const CLOSES: u32 = 100;
/// Pods of a run in all, so that as much memory is walked through in each; few at once means many engines in turn.
const PODS: u32 = 1_000;

/// Connections of a piece of the list of them.
const PIECE: usize = 16;
/// Inputs that are made at a time.
const BATCH: usize = 128;

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let runs: usize =
        words.next().context("say how many runs: scale RUNS [GRACETRACE]")?.parse().context("RUNS is a number")?;
    ensure!(runs > 0, "RUNS is how often each size is run: 1 or more");
    let binary = words.next();
    let sizes = [10, 100, PODS];
    let fresh = engines(PODS)?;
    let mut best = sizes.map(|_| (Parts::default(), Parts::default(), u64::MAX));
    // one after the other in turn: what the machine does meanwhile is to fall on all alike
    for _ in 0..runs {
        for (pods, (engine, floor, faults)) in sizes.into_iter().zip(&mut best) {
            let before = page_faults()?;
            engine.keep_best(engines(pods)?);
            *faults = (page_faults()? - before).min(*faults);
            floor.keep_best(kept_and_read(pods));
        }
    }
    println!("fresh {PODS} {} {}", ending::inputs(PODS, CLOSES).count(), fresh.all().as_nanos());
    for (pods, (engine, floor, faults)) in sizes.into_iter().zip(best) {
        let inputs = ending::inputs(pods, CLOSES).count();
        let all = inputs * usize::try_from(PODS / pods)?;
        println!("engine {pods} {all} {}", engine.all().as_nanos());
        println!("floor {pods} {all} {}", floor.all().as_nanos());
        println!("page-faults {pods} {faults}");
        if let Some(binary) = &binary {
            println!("replay {pods} {inputs} {}", replay(Path::new(binary), pods)?.as_nanos());
        }
    }
    Ok(())
}

/// What the parts of a run took, in their order: the same ones in every run.
#[derive(Default)]
struct Parts(Vec<Duration>);

impl Parts {
    fn keep_best(&mut self, run: Self) {
        if self.0.is_empty() {
            *self = run;
            return;
        }
        for (best, now) in self.0.iter_mut().zip(run.0) {
            *best = now.min(*best);
        }
    }

    fn all(&self) -> Duration {
        self.0.iter().sum()
    }
}

/// Has all inputs of so many pods handled, in parts, and keeps what each part took.
fn in_parts(pods: u32, took: &mut Parts, mut handle: impl FnMut(&Input)) {
    let mut source = ending::inputs(pods, CLOSES);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.extend(source.by_ref().take(BATCH));
        if batch.is_empty() {
            return;
        }
        let begun = Instant::now();
        batch.iter().for_each(&mut handle);
        batch.clear();
        took.0.push(begun.elapsed());
    }
}

/// From the first input to the last report.
fn engines(pods: u32) -> anyhow::Result<Parts> {
    let mut took = Parts::default();
    let mut reports = 0;
    for _ in 0..PODS / pods {
        let mut engine = Engine::new(ending::session());
        in_parts(pods, &mut took, |input| {
            engine.handle(input);
            while engine.poll().is_some() {
                reports += 1;
            }
        });
    }
    ensure!(reports == PODS, "{reports} reports of {PODS} pods");
    Ok(took)
}

/// What is kept of a pod, by an engine that concludes nothing.
#[derive(Default)]
struct Kept {
    /// As much as tells what an event means: whether an end has begun, whose init it is.
    state: [u64; 8],
    /// As many bytes as the engine keeps of a connection, for each, in pieces that are never moved.
    connections: Vec<Vec<[u64; 26]>>,
    /// The same for each process, which is found by a number.
    processes: Vec<(u32, Box<[u64; 11]>)>,
}

/// What an engine cannot do without, and nothing else: to find the pod of an input and look at its state, to keep what tells of its
/// connections and processes and what it is called until it has ended, and to read that then. How this grows is memory's doing.
fn kept_and_read(pods: u32) -> Parts {
    let mut took = Parts::default();
    for _ in 0..PODS / pods {
        let mut kept: BTreeMap<CgroupId, Kept> = BTreeMap::new();
        let mut names: BTreeMap<[u8; 8], Vec<Input>> = BTreeMap::new();
        in_parts(pods, &mut took, |input| {
            if let Input::Pod(PodFacts { uid, .. }) | Input::Container(ContainerFacts { pod_uid: uid, .. }) = input {
                let begins = uid.as_bytes().first_chunk().copied().unwrap_or_default();
                names.entry(begins).or_default().push(input.clone());
            }
            let Input::Event(event) = input else { return };
            // the pod's own cgroup has the even number before its container's
            let pod = event.cgroup.map_or(CgroupId(0), |id| CgroupId(id.0 & !1));
            let pod = kept.entry(pod).or_default();
            pod.state[0] = pod.state[0].wrapping_add(event.at.0);
            if let What::SocketState { .. } = &event.what {
                if pod.connections.last().is_none_or(|piece| piece.len() == PIECE) {
                    pod.connections.push(Vec::with_capacity(PIECE));
                }
                pod.connections.last_mut().into_iter().for_each(|piece| piece.push([event.at.0; 26]));
            } else if let What::ProcessForked { child } = &event.what {
                pod.processes.push((child.tgid, Box::new([event.at.0; 11])));
            }
        });
        let begun = Instant::now();
        let read = kept.into_values().map(|pod| {
            let processes = pod.processes.iter().flat_map(|(_, process)| process.iter());
            let all = pod.connections.iter().flatten().flatten().chain(processes);
            all.copied().fold(pod.state[0], u64::wrapping_add)
        });
        std::hint::black_box(read.fold(0, u64::wrapping_add));
        for facts in names.into_values().flatten() {
            std::hint::black_box(facts.clone());
        }
        took.0.push(begun.elapsed());
    }
    took
}

/// Pages that the kernel has handed to this process so far, or found for it without a disk (`proc_pid_stat(5)`: `minflt`).
fn page_faults() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit_once(')').context("no name in /proc/self/stat")?.1;
    let faults = behind_name.split_whitespace().nth(7).context("no minflt in /proc/self/stat")?;
    Ok(faults.parse()?)
}

/// The whole program, from its start to its end, over a log of the same.
fn replay(binary: &Path, pods: u32) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let mut log = Writer::create(&path, &ending::session())?;
    for input in ending::inputs(pods, CLOSES) {
        log.write(&input)?;
    }
    log.flush()?;
    let begun = Instant::now();
    let status = Command::new(binary).args(["replay", "-o", "jsonl"]).arg(&path).stdout(Stdio::null()).status();
    let took = begun.elapsed();
    ensure!(status.context("can't start gracetrace")?.success(), "replay failed");
    Ok(took)
}
