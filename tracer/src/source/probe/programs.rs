//! The programs of the hooks: given to the verifier, several at a time, and attached.
//!
//! The verifier takes most of a start, as it looks up a type by its name for each pointer that is loaded through another one. It works
//! for several threads at once for those who may load programs at all. Which hooks are wanted, and what is lost without one, `load` knows.

use super::ProbeError;
use super::error::{ENOENT, errno, is_locked_down};
use aya::Ebpf;
use aya::programs::{Program, ProgramError};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Ends the name of a hook's second program, for kernels on which the first can be passed over.
pub(super) const AGAIN: &str = "_again";

/// Ends the name of a hook's programs that are told the types of what they are given; before [`AGAIN`].
pub(super) const NEAR: &str = "_near";

/// Hooks that have such programs, those first that take the verifier longest.
pub(super) const NEAR_HOOKS: [&str; 6] = [
    "signal_generate",
    "inet_sock_set_state",
    "sched_process_exit",
    "sched_process_exec",
    "sched_process_fork",
    "signal_deliver",
];

/// More threads than this would wait for the one with the longest program.
const THREADS: usize = 4;

/// A hook whose programs are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) hook: &'static str,
    /// The second program as well.
    pub(super) is_doubled: bool,
}

impl Wanted {
    fn names(self, kind: &str) -> Vec<String> {
        let first = format!("{}{kind}", self.hook);
        if self.is_doubled { vec![first.clone(), format!("{first}{AGAIN}")] } else { vec![first] }
    }
}

/// Loads what is wanted; the names of each hook's programs, in the order in which they are to be attached. Where the kernel tells `types`
/// and lets programs use them they are, else those that read by helpers.
pub(super) fn load(
    ebpf: &mut Ebpf,
    types: Option<&aya::Btf>,
    wanted: &[Wanted],
) -> Result<BTreeMap<&'static str, Vec<String>>, ProbeError> {
    let best = |wanted: &Wanted| {
        let is_near = types.is_some() && NEAR_HOOKS.contains(&wanted.hook);
        wanted.names(if is_near { NEAR } else { "" })
    };
    let all = wanted.iter().flat_map(|one| best(one).into_iter().map(|name| (name, one.hook))).collect();
    let mut results = load_all(ebpf, types, all)?;
    let mut loaded = BTreeMap::new();
    for one in wanted {
        let names = best(one);
        let outcome =
            names.iter().try_for_each(|name| results.remove(name).unwrap_or_else(|| Err(ProbeError::broken(name))));
        let names = match outcome {
            Ok(()) => names,
            Err(error @ ProbeError::Lockdown(_)) => return Err(error),
            Err(error) if names == one.names("") => return Err(error),
            Err(error) => {
                // a verifier that knows less of types than those it was tried with; the others do the same, and take longer
                tracing::warn!(
                    "{}: its programs that read by helpers are used, as those that read by plain loads are not: {error}",
                    one.hook
                );
                let names = one.names("");
                let others = names.iter().map(|name| (name.clone(), one.hook)).collect();
                load_all(ebpf, types, others)?.into_values().collect::<Result<(), _>>()?;
                names
            }
        };
        loaded.insert(one.hook, names);
    }
    Ok(loaded)
}

/// Loads these programs, each with its hook; what became of each.
fn load_all(
    ebpf: &mut Ebpf,
    types: Option<&aya::Btf>,
    mut wanted: BTreeMap<String, &'static str>,
) -> Result<BTreeMap<String, Result<(), ProbeError>>, ProbeError> {
    let programs = ebpf.programs_mut().filter_map(|(name, program)| Some((wanted.remove_entry(name)?, program)));
    let mut queue = programs.collect::<Vec<_>>();
    // the longest first, so that no thread is left with it when the others are done
    queue.sort_by_key(|((_, hook), _)| NEAR_HOOKS.iter().position(|near| near == hook).unwrap_or(NEAR_HOOKS.len()));
    if let Some(name) = wanted.keys().next() {
        return Err(ProbeError::broken(name));
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(queue.len());
    let (queue, results) = (Mutex::new(queue.into_iter()), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(((name, hook), program)) = next(&queue) {
            let result = load_one(program, &name, hook, types);
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(name, result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // without it this thread does the work
            let _no_thread = thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Gives a program to the verifier.
fn load_one(program: &mut Program, name: &str, hook: &'static str, types: Option<&aya::Btf>) -> Result<(), ProbeError> {
    let loaded = match (program, types) {
        (Program::RawTracePoint(program), _) => program.load(),
        (Program::BtfTracePoint(program), Some(types)) => program.load(hook, types),
        _ => return Err(ProbeError::broken(name)),
    };
    loaded.map_err(|error| {
        let ProgramError::LoadError { io_error, verifier_log } = &error else {
            return ProbeError::from_system(format!("load probe {hook}"), &error);
        };
        tracing::debug!(probe = name, %verifier_log, "refused");
        if is_locked_down() {
            return ProbeError::Lockdown(format!("load probe {hook}"));
        }
        let log = verifier_log.to_string();
        // what it counts comes after what it says
        let counts = ["processed ", "stack depth ", "verification time ", "subprog "];
        let is_said = |line: &&str| !line.is_empty() && !counts.iter().any(|count| line.starts_with(count));
        let last = log.lines().rev().find(is_said);
        match last {
            Some(reason) => ProbeError::Verifier { name: hook, reason: reason.to_owned() },
            None => ProbeError::from_system(format!("load probe {hook}"), io_error),
        }
    })
}

/// Attaches a hook's programs, the first one first: the kernel calls them in this order. False if there is no such tracepoint.
pub(super) fn attach(ebpf: &mut Ebpf, programs: &[String], hook: &'static str) -> Result<bool, ProbeError> {
    for program in programs {
        let attached = match ebpf.program_mut(program) {
            Some(Program::RawTracePoint(program)) => program.attach(hook).map(drop),
            Some(Program::BtfTracePoint(program)) => program.attach().map(drop),
            _ => return Err(ProbeError::broken(program)),
        };
        match attached {
            Ok(()) => {}
            Err(error) if errno(&error) == Some(ENOENT) => return Ok(false),
            Err(error) => return Err(ProbeError::from_system(format!("attach probe {hook}"), &error)),
        }
    }
    Ok(true)
}
