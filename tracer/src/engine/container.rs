//! One container as the engine knows it: its processes, the signals its init got, its end.
//!
//! Collects facts in the order they come; what they amount to is said in `verdict`.

use super::processes::Processes;
use super::runtime_names::is_runtime;
use crate::input::{Actor, Argv, BootNs, CgroupId, Disposition, Process, SignalResult, WaitStatus};
use std::borrow::Borrow;
use std::collections::{BTreeSet, VecDeque};

/// Ended processes that a runtime had put into a healthy container, kept in case one was a preStop hook.
const KEPT_RUNTIME_EXECS: usize = 64;
/// Processes remembered one by one; beyond it they are only counted.
const MAX_PROCESSES: usize = 16_384;
/// Start times found in `/proc` are rounded down to a tick of 10 ms; more apart than this is another process.
const SAME_START_NS: u64 = 20_000_000;

/// A container. In the order as written: what each process that comes and goes asks for is first, close together in memory.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Container {
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Every process known.
    pub processes: Processes,
    /// Since when it is ending: processes are kept and counted from then.
    pub ending: Option<BootNs>,
    /// Counted from then on.
    pub seen: u32,
    /// Programs that a runtime ran here beside the init, and what they started: by tgid, while they live or while
    /// it is ending.
    pub execs: BTreeSet<u32>,
    /// How init ended.
    pub exit: Option<(BootNs, WaitStatus)>,
    /// Its init: PID 1 of its namespace, or the first program run in it.
    pub init: Option<Process>,
    /// Its id, as the cgroup's path has it; none for a command of `gracetrace run`.
    pub id: Option<String>,
    /// Its processes were there before tracing began: what was done to them until then is not known.
    pub adopted: bool,
    /// The runtime, as the path names it.
    pub runtime: Option<&'static str>,
    /// When it was first heard of.
    pub since: BootNs,
    /// Processes that ended and are kept as they may have been the preStop hook.
    pub ended_runtime_execs: VecDeque<Tracked>,
    /// The first signal from outside that asked init to stop.
    pub stop: Option<Sent>,
    /// When that signal reached a handler.
    pub delivered: Option<BootNs>,
    /// When init, as PID 1, had the same signal again without a handler, which ends any other process.
    pub raised_again: Option<BootNs>,
    /// The first SIGKILL to init.
    pub kill: Option<Sent>,
    /// How many processes were sent SIGKILL by that sender through `cgroup.kill` (one record a process, not for the group).
    pub killed_by_cgroup: bool,
    /// Processes the OOM killer chose.
    pub oom_victims: Vec<(BootNs, Process)>,
    /// Its cgroup has no process left.
    pub emptied: Option<BootNs>,
    /// tgids sent the stop signal, by whomever.
    pub signalled: BTreeSet<u32>,
    /// Those killed as their PID namespace went.
    pub killed_by_pid_namespace: BTreeSet<u32>,
    /// When a listener of its own closed last.
    pub listener_closed: Option<BootNs>,
    /// How many listeners it has, once they were counted at the stop signal.
    pub listeners_open: Option<i64>,
    /// Signals that one process of it sent on to another, after its own stop signal.
    pub forwarded: Vec<Forwarded>,
    /// Other processes that ended while it was ending.
    pub exits: Vec<(BootNs, Process, WaitStatus)>,
}

/// A process and what happened to it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub process: Process,
    /// A step of the container runtime on its way to run something here: not yet (or never) the container's own.
    pub stage: bool,
    /// A container runtime put it here, when, and with which arguments.
    pub runtime_exec: Option<Box<RuntimeExec>>,
}

/// A program that a container runtime ran in the container.
#[derive(Clone, Debug)]
pub(super) struct RuntimeExec {
    pub at: BootNs,
    pub argv: Option<Argv>,
    /// How it ended.
    pub exit: Option<(BootNs, WaitStatus)>,
}

/// A signal that was sent. Its sender is borrowed until the signal is known to matter.
#[derive(Clone, Debug)]
pub(super) struct Sent<By = Actor> {
    pub at: BootNs,
    pub signal: i32,
    pub code: i32,
    pub result: SignalResult,
    pub disposition: Disposition,
    pub sender: By,
    /// It came from PID 1 of the target's namespace, on its way out.
    pub by_dying_init: bool,
    /// From a process of a container, of whichever pod.
    pub from_container: bool,
}

impl<By: Borrow<Actor>> Sent<By> {
    /// Whether a container runtime (or the kubelet) sent it. In a container nobody is one, though each PID 1 and each `kubectl exec` there has
    /// the runtime's shim for a parent.
    pub(super) fn is_runtimes(&self) -> bool {
        !self.from_container && is_runtime(self.sender.borrow())
    }
}

impl Sent<&Actor> {
    /// One that matters.
    pub(super) fn kept(&self) -> Sent {
        Sent {
            at: self.at,
            signal: self.signal,
            code: self.code,
            result: self.result,
            disposition: self.disposition,
            sender: self.sender.clone(),
            by_dying_init: self.by_dying_init,
            from_container: self.from_container,
        }
    }
}

/// A signal passed on inside the container.
#[derive(Clone, Debug)]
pub(super) struct Forwarded {
    pub at: BootNs,
    pub signal: i32,
    pub from: Actor,
    pub to: Process,
}

impl Container {
    pub(super) fn new(cgroup: CgroupId, since: BootNs) -> Self {
        Self {
            cgroup,
            id: None,
            runtime: None,
            since,
            init: None,
            adopted: false,
            processes: Processes::default(),
            ended_runtime_execs: VecDeque::new(),
            stop: None,
            delivered: None,
            raised_again: None,
            kill: None,
            killed_by_cgroup: false,
            exit: None,
            oom_victims: Vec::new(),
            emptied: None,
            ending: None,
            seen: 0,
            signalled: BTreeSet::new(),
            killed_by_pid_namespace: BTreeSet::new(),
            execs: BTreeSet::new(),
            listener_closed: None,
            listeners_open: None,
            forwarded: Vec::new(),
            exits: Vec::new(),
        }
    }

    /// Whether `process` is its init.
    pub(super) fn is_init(&self, process: &Process) -> bool {
        self.init.as_ref().is_some_and(|init| same(init, process))
    }

    /// Takes the processes found in its cgroup (or in one inside it), oldest first.
    pub(super) fn found(&mut self, processes: &[Process]) {
        self.adopted |= !processes.is_empty();
        for process in processes {
            let stage = self.may_be_stage(process);
            self.insert(Tracked { process: process.clone(), stage, runtime_exec: None });
            // a container's init is number 1 of its own namespace, or (shared namespace) simply the first
            let better = self.init.as_ref().is_none_or(|init| init.ns_tgid != 1 && process.ns_tgid == 1);
            if !stage && better {
                self.init = Some(process.clone());
            }
        }
    }

    pub(super) fn forked(&mut self, child: &Process) {
        // A child of nobody we know comes from the runtime, which clones its way into the container.
        let stage = !self.is_running_init(child.parent_tgid) && self.id.is_some() && self.is_not_own(child.parent_tgid);
        self.count_unless(stage);
        if self.execs.contains(&child.parent_tgid) {
            self.remember_exec(child.tgid);
        }
        self.insert(Tracked { process: child.clone(), stage, runtime_exec: None });
    }

    pub(super) fn executed(&mut self, at: BootNs, process: &Process, parent_outside: bool, argv: Option<&Argv>) {
        let known = self.processes.get(process.tgid).filter(|known| same(&known.process, process));
        let was_own = known.is_some_and(|known| !known.stage);
        // a program of its own may well be called `exe`
        let stage = !was_own && self.may_be_stage(process);
        let runtime_exec = match known.and_then(|known| known.runtime_exec.clone()) {
            Some(first) => Some(first),
            None if parent_outside && !stage && !was_own => {
                Some(Box::new(RuntimeExec { at, argv: argv.cloned(), exit: None }))
            }
            None => None,
        };
        if runtime_exec.is_some() && !self.is_init(process) && self.init.is_some() {
            self.remember_exec(process.tgid);
        }
        self.count_unless(stage || was_own);
        self.insert(Tracked { process: process.clone(), stage, runtime_exec });
        match &mut self.init {
            // the init has begun another program: its name changes, it stays the init
            Some(init) if same(init, process) => {
                init.comm.clone_from(&process.comm);
                init.exe.clone_from(&process.exe);
            }
            None if !stage => self.init = Some(process.clone()),
            Some(_) | None => {}
        }
    }

    /// Takes a process's end; true if it was the init's.
    pub(super) fn exited(&mut self, at: BootNs, process: &Process, status: WaitStatus) -> bool {
        let init = self.is_init(process);
        if init && self.exit.is_none() {
            self.exit = Some((at, status));
        }
        let Some(mut tracked) = self.processes.remove(process.tgid) else {
            return init;
        };
        if self.ending.is_none() {
            self.execs.remove(&process.tgid);
        }
        if self.ending.is_some() && !init && !tracked.stage && self.exits.len() < MAX_PROCESSES {
            self.exits.push((at, process.clone(), status));
        }
        if let Some(exec) = tracked.runtime_exec.as_mut().filter(|_| !init) {
            exec.exit = Some((at, status));
            if self.ended_runtime_execs.len() == KEPT_RUNTIME_EXECS {
                self.ended_runtime_execs.pop_front();
            }
            self.ended_runtime_execs.push_back(tracked);
        }
        init
    }

    /// Its end has begun: from here on every process counts.
    pub(super) fn begin(&mut self, at: BootNs) {
        if self.ending.is_none() {
            self.ending = Some(at);
            let own = self.processes.values().filter(|tracked| !tracked.stage).count();
            self.seen = u32::try_from(own).unwrap_or(u32::MAX);
        }
    }

    /// Its end begins only now: what was counted from an earlier signal on was its life.
    pub(super) fn begin_anew(&mut self, at: BootNs) {
        self.ending = None;
        self.delivered = None;
        self.raised_again = None;
        self.signalled.clear();
        self.forwarded.clear();
        self.exits.clear();
        self.killed_by_pid_namespace.clear();
        self.begin(at);
    }

    /// Its own processes that were there at the stop signal and were never sent it: the init and what a
    /// runtime ran beside it are left out. Oldest first.
    pub(super) fn unsignalled(&self) -> Vec<&Process> {
        let Some(stop) = &self.stop else { return Vec::new() };
        let alive = self.processes.values().filter(|tracked| !tracked.stage).map(|tracked| &tracked.process);
        let ended = self.exits.iter().filter(|(at, ..)| *at > stop.at).map(|(_, process, _)| process);
        let mut missed: Vec<&Process> = alive
            .chain(ended)
            .filter(|process| process.start < stop.at && !self.is_init(process))
            .filter(|process| !self.signalled.contains(&process.tgid) && !self.execs.contains(&process.tgid))
            .collect();
        missed.sort_by_key(|process| (process.start, process.tgid));
        missed
    }

    /// When its stop signal came a second time and the kernel discarded it: only PID 1 outlives a default action.
    pub(super) fn discarded_again(&self) -> Option<BootNs> {
        let stop = self.stop.as_ref()?;
        let outlived = self.exit.is_none_or(|(_, status)| status.signal() != Some(stop.signal));
        let is_pid_1 = self.init.as_ref().is_some_and(|init| init.ns_tgid == 1);
        self.raised_again.filter(|_| outlived && is_pid_1)
    }

    /// Of the processes that went with the PID namespace, those a runtime had run beside the init.
    pub(super) fn execs_killed(&self) -> usize {
        self.killed_by_pid_namespace.intersection(&self.execs).count()
    }

    fn remember_exec(&mut self, tgid: u32) {
        if self.execs.len() < MAX_PROCESSES {
            self.execs.insert(tgid);
        }
    }

    /// Programs a runtime ran here besides the init, oldest first, ended or not.
    pub(super) fn runtime_execs(&self) -> Vec<(&RuntimeExec, &Tracked)> {
        let alive = self.processes.values().filter(|tracked| !self.is_init(&tracked.process));
        let mut execs: Vec<_> = self
            .ended_runtime_execs
            .iter()
            .chain(alive)
            .filter_map(|tracked| tracked.runtime_exec.as_deref().map(|exec| (exec, tracked)))
            .collect();
        execs.sort_by_key(|(exec, tracked)| (exec.at, tracked.process.tgid));
        execs
    }

    /// Known without a look at the others, as the parent of most is asked for.
    fn is_running_init(&self, tgid: u32) -> bool {
        self.exit.is_none() && self.init.as_ref().is_some_and(|init| init.tgid == tgid)
    }

    fn is_not_own(&self, tgid: u32) -> bool {
        self.processes.get(tgid).is_none_or(|known| known.stage)
    }

    /// No runtime has a hand in a command of `gracetrace run`, which has no id.
    fn may_be_stage(&self, process: &Process) -> bool {
        self.id.is_some() && is_runtime_stage(process)
    }

    fn count_unless(&mut self, not_own: bool) {
        if self.ending.is_some() && !not_own {
            self.seen = self.seen.saturating_add(1);
        }
    }

    fn insert(&mut self, tracked: Tracked) {
        if self.processes.len() < MAX_PROCESSES || self.processes.get(tracked.process.tgid).is_some() {
            self.processes.insert(tracked);
        }
    }
}

/// The same process, and not another one with a reused pid.
pub(super) fn same(a: &Process, b: &Process) -> bool {
    a.tgid == b.tgid && a.start.0.abs_diff(b.start.0) < SAME_START_NS
}

/// Whether runc or crun is what runs, which it does inside a container before it becomes the container's program. With
/// `CLONE_INTO_CGROUP` it even starts there (`runc init`), and runc before 1.2 runs once more there, from a copy of itself
/// in memory (`libcontainer/nsenter/cloned_binary.c`).
fn is_runtime_stage(process: &Process) -> bool {
    let comm = process.comm.as_str();
    let is_its = |name: &str| matches!(name, "runc" | "crun" | "youki") || name.starts_with("memfd:runc_clon");
    comm.starts_with("runc:[") || comm == "exe" || is_its(comm) || process.exe.as_deref().is_some_and(is_its)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(tgid: u32, parent_tgid: u32, ns_tgid: u32, comm: &str) -> Process {
        Process {
            tgid,
            start: BootNs(u64::from(tgid) * 1_000_000_000),
            ns_tgid,
            parent_tgid,
            comm: comm.into(),
            exe: None,
        }
    }

    fn container() -> Container {
        let mut container = Container::new(CgroupId(7), BootNs(0));
        container.id = Some("a".repeat(64));
        container
    }

    #[test]
    fn init_is_the_first_program_that_is_not_the_runtimes() {
        let mut c = container();
        c.forked(&process(10, 9, 1, "runc:[1:CHILD]"));
        c.executed(BootNs(1), &process(10, 9, 1, "runc:[2:INIT]"), true, None);
        assert!(c.init.is_none());
        c.executed(BootNs(2), &process(10, 9, 1, "nginx"), true, None);
        assert_eq!(c.init.as_ref().map(|p| p.comm.as_str()), Some("nginx"));
        c.executed(BootNs(3), &process(10, 9, 1, "nginx2"), true, None);
        assert_eq!(c.init.as_ref().map(|p| p.comm.as_str()), Some("nginx2"));
    }

    /// The names as runc 1.1.15 has them; the copy is started through its descriptor, whose number is then its name.
    #[test]
    fn a_copy_of_the_runtime_is_not_the_init() {
        let mut c = container();
        c.executed(BootNs(1), &process(10, 9, 10, "memfd:runc_clon"), true, None);
        c.executed(BootNs(1), &Process { exe: Some("runc".into()), ..process(11, 9, 11, "6") }, true, None);
        assert!(c.init.is_none());
        c.forked(&process(12, 10, 1, "runc:[1:CHILD]"));
        c.executed(BootNs(2), &process(12, 10, 1, "nginx"), true, None);
        assert_eq!(c.init.as_ref().map(|p| p.tgid), Some(12));
    }

    #[test]
    fn a_reused_pid_is_not_the_init() {
        let mut c = container();
        c.executed(BootNs(2), &process(10, 9, 1, "nginx"), true, None);
        let mut stranger = process(10, 9, 1, "nginx");
        stranger.start = BootNs(99_000_000_000);
        assert!(!c.exited(BootNs(5), &stranger, WaitStatus(0)));
        assert_eq!(c.exit, None);
    }

    #[test]
    fn runtime_steps_are_not_counted_as_processes() {
        let mut c = container();
        c.executed(BootNs(2), &process(10, 9, 1, "nginx"), true, None);
        c.forked(&process(11, 10, 2, "nginx"));
        c.begin(BootNs(3));
        assert_eq!(c.seen, 2);
        c.forked(&process(20, 19, 3, "runc:[0:PARENT]"));
        c.forked(&process(21, 20, 4, "runc:[1:CHILD]"));
        assert_eq!(c.seen, 2);
        c.executed(BootNs(4), &process(21, 19, 4, "sh"), true, None);
        assert_eq!(c.seen, 3);
        c.executed(BootNs(5), &process(21, 19, 4, "sleep"), true, None);
        assert_eq!(c.seen, 3);
        assert_eq!(c.runtime_execs().len(), 1);
        assert_eq!(c.runtime_execs()[0].0.at, BootNs(4));
    }

    #[test]
    fn a_child_is_the_containers_own_if_its_parent_is() {
        let mut c = container();
        let forks = |c: &mut Container, tgid, parent_tgid| {
            c.forked(&process(tgid, parent_tgid, tgid, "a"));
            c.processes.get(tgid).map(|tracked| !tracked.stage)
        };
        // the runtime's, which becomes the init
        assert_eq!(forks(&mut c, 10, 9), Some(false));
        c.executed(BootNs(2), &process(10, 9, 1, "nginx"), true, None);
        assert_eq!(forks(&mut c, 11, 10), Some(true));
        assert_eq!(forks(&mut c, 12, 11), Some(true));
        // a stranger's
        assert_eq!(forks(&mut c, 20, 19), Some(false));
        assert_eq!(forks(&mut c, 21, 20), Some(false));
        // its init has ended: who has that pid now is another
        c.exited(BootNs(3), &process(10, 9, 1, "nginx"), WaitStatus(0));
        assert_eq!(forks(&mut c, 13, 10), Some(false));
        assert_eq!(forks(&mut c, 14, 12), Some(true));
        let mut adopted = container();
        adopted.found(&[process(6, 4, 1, "app")]);
        assert_eq!(forks(&mut adopted, 7, 6), Some(true));
    }

    #[test]
    fn found_processes_give_the_init_of_its_own_namespace() {
        let mut c = container();
        c.found(&[process(5, 4, 30, "sh"), process(6, 4, 1, "app")]);
        assert_eq!(c.init.as_ref().map(|p| p.tgid), Some(6));
    }
}
