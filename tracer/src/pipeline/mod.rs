//! Joins sources, log, engine and sinks while tracing: everything that can wake the program ends here
//! as one [`Input`] after the other, in the order in which it happened as far as that can be known.
//!
//! - Kernel records are held until everything older has surely arrived, then handed in by time.
//! - What gracetrace itself did (a stop request) takes its place among them.
//! - Facts about pods are handed in when they are learnt; the engine copes with late ones.
//! - A tick never runs ahead of a record, and losses are told before a tick can finish a report.

mod core;
mod end;
mod looks;
mod losses;
mod output;
mod pods;
mod rest;
mod target;

pub use output::Output;
pub use target::{Ambiguous, Found, Target, Verdict};

use self::core::Core;
use self::looks::Looks;
use self::rest::Rush;
use crate::input::{BootNs, Event, Input, Session, What};
use crate::log::Writer;
use crate::source::cgroupfs::CgroupTree;
use crate::source::clock;
use crate::source::probe::order::Order;
use crate::source::probe::{Batch, BatchReceiver, Probes, decode, queue};
use crate::source::runtime::Resolver;
use anyhow::Context;
use std::collections::VecDeque;
use std::fs::File;
use std::mem;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracer_ebpf::kind;

/// Batches of records that may wait; a full queue makes the reader wait, and then the ring fills.
const BATCHES: usize = 64;
/// Facts about pods that may wait.
const FACTS: usize = 1024;
/// How long records are held back behind the reader, for clocks of CPUs that differ.
const HOLD_NS: u64 = 1_000_000;
/// So often after a loss, a beat apart, it is looked which pods are still there.
const SEARCHES: u32 = 8;
/// So often it is asked what the kernel passed over while no report is due.
const PASSED_OVER: Duration = Duration::from_secs(30);
/// What is due later than this waits for time no more than what is not due at all: longer than it takes until time is told of an idle node.
const NEAR_NS: u64 = 6_000_000_000;
/// So long after a signal it is known whether it was a stop signal.
const JUDGED_NS: u64 = 100_000_000;
/// How often at the most losses and the clock are looked at, and the log is written out: with the reader's next word after that,
/// so that an idle node wakes nobody twice.
const BEAT: Duration = Duration::from_millis(500);
/// The wall clock is told again after this long …
const CLOCK_EVERY_NS: u64 = 60_000_000_000;
/// … or when it has moved this much.
const CLOCK_MOVED_NS: u64 = 1_000_000;

/// Everything between the sources and the sinks.
#[derive(Debug)]
pub struct Pipeline {
    core: Core,
    probes: Probes,
    batches: BatchReceiver,
    facts: mpsc::Receiver<Input>,
    resolver: Option<Resolver>,
    target: Option<Target>,
    looks: Option<Looks>,
    order: Order,
    /// Inputs of our own that wait for older records; oldest first.
    own: VecDeque<(BootNs, Input)>,
    /// Every record older than this has arrived.
    arrived: BootNs,
    /// Nothing that happened later is handed in.
    end: BootNs,
    /// How many have, by kind.
    read: [u64; kind::COUNT],
    looked_around: Instant,
    clock_told: (BootNs, i64),
    /// When it was asked what the kernel passed over.
    passed_over_asked: Instant,
    /// Records were lost: so many times it is looked yet which pods are still there.
    searches: u32,
    rush: Rush,
}

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Parts {
    /// Attached probes.
    pub probes: Probes,
    /// What the engine and the log begin with.
    pub session: Session,
    /// The log that is wanted.
    pub log: Option<Writer<File>>,
    /// Where reports go.
    pub output: Output,
}

impl Pipeline {
    /// Begins to read the ring. Must be called inside a tokio runtime.
    pub fn start(parts: Parts) -> anyhow::Result<Self> {
        let Parts { mut probes, session, log, output } = parts;
        let (sender, batches) =
            queue(BATCHES).context("cannot make an eventfd, for which a descriptor is wanted (ulimit -n)")?;
        probes.spawn_reader(sender).context("cannot read the probes' ring buffer")?;
        let clock_told = (session.started_at, session.wall_offset_ns);
        Ok(Self {
            core: Core::new(session, log, output),
            probes,
            batches,
            // closed: nobody learns facts until `resolve` is called
            facts: mpsc::channel(1).1,
            resolver: None,
            target: None,
            looks: None,
            order: Order::default(),
            own: VecDeque::new(),
            arrived: BootNs(0),
            end: BootNs(u64::MAX),
            looked_around: Instant::now(),
            read: [0; kind::COUNT],
            clock_told,
            passed_over_asked: Instant::now(),
            searches: 0,
            rush: Rush::default(),
        })
    }

    /// Finds out in the background who the pods are; with a target, traces no others for longer than
    /// it takes to tell.
    pub fn resolve(&mut self, runtime_endpoint: Option<String>, target: Option<Target>) {
        let (sender, facts) = mpsc::channel(FACTS);
        self.facts = facts;
        self.resolver = Some(Resolver::spawn(runtime_endpoint, sender));
        self.target = target;
    }

    /// Looks at a pod's sockets when its stop signal is seen. Call it before any pod is adopted.
    pub fn look_at_sockets(&mut self, tree: &CgroupTree) {
        match Looks::start(tree, self.probes.host_netns()) {
            Ok(looks) => self.looks = Some(looks),
            Err(error) => tracing::warn!("the sockets of pods cannot be looked at: {error}"),
        }
    }

    /// Waits for the next thing to happen and deals with it. May be dropped while it waits.
    pub async fn next(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            batch = self.batches.recv() => match batch {
                Some(batch) => {
                    self.take(batch)?;
                    if self.looked_around.elapsed() >= BEAT {
                        self.look_around()?;
                    }
                }
                None => anyhow::bail!("the thread that reads the ring buffer has ended; run with -v to see why"),
            },
            Some(input) = self.facts.recv() => self.learn(&input)?,
            Some(input) = answer(&mut self.looks) => self.looked(input),
        }
        self.want_time();
        Ok(())
    }

    /// A deadline, what is to be handed in between records, and what is looked for again and again wait for time.
    /// (A record that is held back because another one may be older does not: after records the next rounds are told of in any case.)
    fn want_time(&self) {
        let waits = !self.own.is_empty() || self.searches > 0;
        self.batches.want_time(waits || is_near(self.core.deadline(), self.arrived));
    }

    /// `gracetrace run` is about to send the stop signal.
    pub fn stop_requested(&mut self, reason: String) {
        let at = clock::boot_now();
        self.own.push_back((at, Input::StopRequested { at, reason }));
        self.want_time();
    }

    /// How many pods ended unreported, as nobody could tell their names (when one is traced by name).
    pub fn ended_nameless(&self) -> u64 {
        self.core.ended_nameless()
    }

    /// How many reports went out.
    pub fn reports(&self) -> u64 {
        self.core.reports()
    }

    /// Whether a report had what the output watches for.
    pub fn matched(&self) -> bool {
        self.core.matched()
    }

    /// Hands the log to its file, when it ends without [`Pipeline::finish`].
    pub fn flush(&mut self) {
        self.core.flush();
    }

    fn take(&mut self, batch: Batch) -> anyhow::Result<()> {
        let mut malformed = 0;
        for record in decode::records(&batch.bytes) {
            match record {
                Ok(event) => {
                    self.look_if_stopped(&event);
                    self.order.push(event);
                }
                Err(error) => {
                    malformed += 1;
                    tracing::warn!("cannot read a record: {error}");
                }
            }
        }
        self.count(&batch);
        self.batches.give_back(batch);
        self.release(BootNs(self.arrived.0.saturating_sub(HOLD_NS)))?;
        if malformed > 0 {
            self.core.feed(&Input::Lost {
                at: self.arrived,
                what: "decode".to_owned(),
                count: malformed,
                pod: None,
            })?;
        }
        Ok(())
    }

    /// Counts what has come, whatever becomes of it.
    fn count(&mut self, batch: &Batch) {
        for (all, new) in self.read.iter_mut().zip(batch.counts) {
            *all += new;
        }
        self.arrived = self.arrived.max(batch.complete_until);
    }

    /// Asks for a pod's sockets at once: an event is handed in only when everything older has arrived.
    fn look_if_stopped(&mut self, event: &Event) {
        if let (What::SignalGenerated { target, .. }, Some(looks)) = (&event.what, &mut self.looks)
            && let Some(pod) = self.core.may_begin_stop(event)
            && looks.ask(pod, target.tgid, event.at)
            && let Some(call) = self.probes.kubelet_call(pod)
        {
            self.put_in_place(call.at, Input::KubeletCall(call));
        }
    }

    /// A look takes its place among the records by when it ended.
    fn looked(&mut self, input: Input) {
        if let Input::Sockets(sockets) = &input {
            self.put_in_place(sockets.at, input);
        }
    }

    fn put_in_place(&mut self, at: BootNs, input: Input) {
        let place = self.own.partition_point(|(before, _)| *before <= at);
        self.own.insert(place, (at, input));
    }

    /// Hands in what happened before `until` (and before the end), in order; then a tick, if one is due.
    fn release(&mut self, until: BootNs) -> anyhow::Result<()> {
        let until = until.min(self.end);
        self.hand_in_until(until)?;
        self.tick_if_due(until)
    }

    /// Hands in what happened before `until`, in order, each tick in its place.
    fn hand_in_until(&mut self, until: BootNs) -> anyhow::Result<()> {
        // an event is handed in where it lies
        let mut order = mem::take(&mut self.order);
        let result = self.hand_in_of(&mut order, until);
        self.order = order;
        result
    }

    fn hand_in_of(&mut self, order: &mut Order, until: BootNs) -> anyhow::Result<()> {
        loop {
            let own_at = self.own.front().map_or(until, |(at, _)| *at).min(until);
            if let Some(input) = order.first_before(own_at) {
                let handed_in = self.hand_in(input);
                order.drop_first();
                handed_in?;
            } else if own_at < until
                && let Some((at, input)) = self.own.pop_front()
            {
                self.tick_if_due(at)?;
                self.core.feed(&input)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Everything before `now` was handed in: if the engine waited for a moment until then, tell it.
    fn tick_if_due(&mut self, now: BootNs) -> anyhow::Result<()> {
        if self.core.deadline().is_none_or(|deadline| deadline > now) {
            return Ok(());
        }
        self.tell_losses()?;
        self.tell_passed_over()?;
        self.core.feed(&Input::Tick { at: now })
    }

    fn hand_in(&mut self, input: &Input) -> anyhow::Result<()> {
        let Input::Event(event) = input else { return self.core.feed(input) };
        self.tick_if_due(event.at)?;
        let seen = match &event.what {
            What::CgroupMade { pod, path, .. } => event.cgroup.map(|cgroup| (*pod, cgroup, path.clone())),
            What::CgroupRemoved { .. } => {
                if let (Some(target), Some(id)) = (&mut self.target, event.cgroup) {
                    target.gone(id);
                }
                if let (Some(looks), Some(id)) = (&mut self.looks, event.cgroup) {
                    looks.forget(id);
                }
                None
            }
            What::SignalGenerated { .. }
            | What::SignalDelivered { .. }
            | What::ProcessForked { .. }
            | What::ProcessExecuted { .. }
            | What::ProcessExited { .. }
            | What::OomVictim { .. }
            | What::SocketState { .. }
            | What::SocketAfterClose { .. }
            | What::SocketReset { .. }
            | What::SocketRefused { .. }
            | What::CgroupEmptied { .. } => None,
        };
        self.core.feed(input)?;
        seen.map_or(Ok(()), |(pod, cgroup, path)| self.cgroup_seen(pod, cgroup, &path, false))
    }

    fn look_around(&mut self) -> anyhow::Result<()> {
        self.looked_around = Instant::now();
        self.tell_losses()?;
        if self.passed_over_asked.elapsed() >= PASSED_OVER {
            self.tell_passed_over()?;
        }
        self.search_for_pods();
        // by then the engine has seen the signal, and knows what it was
        let judged = BootNs(self.arrived.0.saturating_sub(JUDGED_NS));
        let let_be = self.probes.calm(judged, |pod| self.core.is_ending(pod, judged));
        let (at, wall_offset_ns) = (clock::boot_now(), clock::wall_offset_ns());
        for pod in let_be {
            self.put_in_place(at, Input::LetBe { at, pod });
        }
        let (told_at, told) = self.clock_told;
        if at.0.saturating_sub(told_at.0) >= CLOCK_EVERY_NS || wall_offset_ns.abs_diff(told) > CLOCK_MOVED_NS {
            self.clock_told = (at, wall_offset_ns);
            self.core.feed(&Input::Clock { at, wall_offset_ns })?;
        }
        self.core.flush();
        self.rest_after_rush();
        Ok(())
    }

    /// After a loss the records of a pod's end may be among those that are missing.
    fn search_for_pods(&mut self) {
        if self.searches == 0 {
            return;
        }
        self.searches -= 1;
        let at = clock::boot_now();
        for pod in self.looks.as_mut().map(Looks::gone).unwrap_or_default() {
            self.put_in_place(at, Input::PodGone { at, pod });
        }
    }
}

/// Whether this moment comes before time is told again, though nobody wants to know it.
fn is_near(deadline: Option<BootNs>, now: BootNs) -> bool {
    deadline.is_some_and(|deadline| deadline.0.saturating_sub(now.0) <= NEAR_NS)
}

/// The next look at a pod's sockets; never, if none are taken.
async fn answer(looks: &mut Option<Looks>) -> Option<Input> {
    match looks {
        Some(looks) => looks.answer().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::{BootNs, NEAR_NS, is_near};

    #[test]
    fn what_is_due_within_the_next_seconds_waits_for_time() {
        let now = BootNs(10 * NEAR_NS);
        let near = |ns: u64| is_near(Some(BootNs(ns)), now);
        assert!(near(0) && near(now.0) && near(now.0 + NEAR_NS));
        assert!(!near(now.0 + NEAR_NS + 1));
        assert!(!is_near(None, now));
    }
}
