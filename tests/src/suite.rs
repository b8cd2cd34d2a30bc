//! A test binary's main for scenarios that share a machine: one after the other, libtest's words on
//! stdout, and a teardown that neither a panic nor Ctrl-C nor SIGTERM skips.

use crate::stalls;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// One scenario: its name, and what gives its facts or the reason why it failed.
pub struct Scenario<W> {
    /// By this name it is filtered.
    pub name: &'static str,
    /// Plays it.
    pub play: fn(&W) -> anyhow::Result<Vec<String>>,
}

/// Why this machine cannot play a scenario, where that is nobody's fault: it has neither passed nor failed.
#[derive(Debug)]
pub struct NotPossible(pub String);

/// Of what rests on whose a socket is, where others live in the same network namespace.
pub const NO_CGROUP: &str = "with cgroup v1 a socket has no cgroup that tells whose it is";

impl std::fmt::Display for NotPossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not possible here: {}", self.0)
    }
}

impl std::error::Error for NotPossible {}

/// The report says that it is incomplete for what the emulator did to it: the scenario is to be played again, and that is said.
#[derive(Debug)]
pub struct Disturbed(pub String);

impl std::fmt::Display for Disturbed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "disturbed, each of {ATTEMPTS} times: {}", self.0)
    }
}

impl std::error::Error for Disturbed {}

/// How often a scenario is played before it is taken for more than a disturbance.
const ATTEMPTS: usize = 3;

/// Runs the scenarios that the arguments choose. `world` is made once, when the first one needs it.
pub fn run<W>(tier: &str, scenarios: &[Scenario<W>], world: fn() -> anyhow::Result<W>) -> ExitCode {
    let choice = Choice::from_args();
    let chosen: Vec<_> = scenarios.iter().filter(|scenario| choice.takes(scenario.name)).collect();
    if choice.list {
        for scenario in &chosen {
            say(&format!("{}: test", scenario.name));
        }
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    stalls::watch();
    say(&format!("\nrunning {} tests", chosen.len()));
    tear_down_on_signals();
    let (mut failures, mut impossible) = (Vec::new(), 0);
    if !chosen.is_empty() {
        match quiet(|| needs_root(tier).and_then(|()| world())) {
            Ok(world) => {
                for scenario in &chosen {
                    match play(scenario, &world) {
                        Ok(()) => {}
                        Err(error) if error.is::<NotPossible>() => impossible += 1,
                        Err(error) => failures.push((scenario.name, error)),
                    }
                }
            }
            Err(error) => {
                say(&format!("the {tier} tier cannot run here: {error:#}"));
                failures = chosen.iter().map(|scenario| (scenario.name, anyhow::anyhow!("not run"))).collect();
            }
        }
    }
    let passed = chosen.len() - failures.len() - impossible;
    for problem in tear_down() {
        failures.push(("teardown", anyhow::anyhow!("{problem}")));
    }
    if !failures.is_empty() {
        say("\nfailures:\n");
        for (name, error) in &failures {
            say(&format!("---- {name} ----\n{error:#}\n"));
        }
    }
    let failed = failures.len();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    say(&format!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {impossible} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        scenarios.len() - chosen.len(),
        begun.elapsed().as_secs_f64()
    ));
    ExitCode::from(if failed == 0 { 0 } else { 101 })
}

fn play<W>(scenario: &Scenario<W>, world: &W) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut result = quiet(|| (scenario.play)(world));
    for _ in 1..ATTEMPTS {
        let Some(Disturbed(why)) = result.as_ref().err().and_then(anyhow::Error::downcast_ref) else { break };
        say(&format!("    {} is played again: {why}", scenario.name));
        result = quiet(|| (scenario.play)(world));
    }
    let verdict = match &result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.downcast_ref().map_or_else(|| "FAILED".to_owned(), NotPossible::to_string),
    };
    say(&format!("test {} ... {verdict} <{:.2}s>", scenario.name, begun.elapsed().as_secs_f64()));
    for fact in result? {
        say(&format!("    {fact}"));
    }
    Ok(())
}

/// A panic is a failure like any other.
fn quiet<T>(what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
        anyhow::bail!("panicked: {}", text.unwrap_or_default())
    })
}

fn needs_root(tier: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "the {tier} tier loads kernel probes and makes cgroups: run it as root"
    );
    Ok(())
}

type Step = (&'static str, Box<dyn FnOnce() -> anyhow::Result<()> + Send>);
static STEPS: Mutex<Vec<Step>> = Mutex::new(Vec::new());

/// Remembers something to be undone at the end, however it comes. The last one is undone first.
pub fn at_end(what: &'static str, step: impl FnOnce() -> anyhow::Result<()> + Send + 'static) {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner).push((what, Box::new(step)));
}

/// Held while steps are undone: whoever comes second must not end the process under the first.
static TEARING_DOWN: Mutex<()> = Mutex::new(());

fn tear_down() -> Vec<String> {
    let _alone = TEARING_DOWN.lock().unwrap_or_else(PoisonError::into_inner);
    undo_steps()
}

fn undo_steps() -> Vec<String> {
    let mut problems = Vec::new();
    loop {
        let step = STEPS.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some((what, step)) = step else { return problems };
        if let Err(error) = quiet(step) {
            problems.push(format!("{what}: {error:#}"));
        }
    }
}

fn tear_down_on_signals() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let code = runtime.block_on(async {
            let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok()?;
            tokio::select! {
                pressed = tokio::signal::ctrl_c() => pressed.ok().map(|()| 130),
                _ = term.recv() => Some(143),
            }
        });
        if let Some(code) = code {
            let _until_exit = TEARING_DOWN.lock().unwrap_or_else(PoisonError::into_inner);
            crate::tracer::end_all();
            for problem in undo_steps() {
                say(&format!("teardown: {problem}"));
            }
            say("test result: FAILED. interrupted");
            std::process::exit(code);
        }
    });
}

/// libtest's arguments, as far as they mean something here; the others are taken and ignored.
#[derive(Default)]
struct Choice {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
}

impl Choice {
    fn from_args() -> Self {
        let (mut choice, mut args) = (Self::default(), std::env::args().skip(1));
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => choice.list = true,
                "--exact" => choice.exact = true,
                "--skip" => choice.skip.extend(args.next()),
                "--test-threads" | "--format" | "--color" | "-Z" => drop(args.next()),
                flag if flag.starts_with('-') => {}
                filter => choice.filters.push(filter.to_owned()),
            }
        }
        choice
    }

    fn takes(&self, name: &str) -> bool {
        let matches = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skip.iter().any(matches)
    }
}

/// A line on stdout; a closed pipe is no reason to stop before the teardown.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _closed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
