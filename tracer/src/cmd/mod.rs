//! The commands: each joins the parts for one purpose. What a person did wrong or a machine lacks comes
//! back as one error, told in one line; nothing here panics.

pub mod console;
mod doctor;
mod manual;
mod replay;
mod reports;
mod rules;
mod run;
mod session;
mod signals;
mod trace;
mod waiting;

use crate::cli::{Cli, Command};
use crate::pipeline::Pipeline;
use crate::sink::schema;
use anyhow::Context;
use std::process::ExitCode;
use std::time::Duration;

/// How long what still runs in the background may delay the end.
const BACKGROUND: Duration = Duration::from_millis(100);

/// How a command ends that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: reported.
    Done,
    /// 1: cannot be; the command has said why.
    Failed,
    /// 3: reported, and a report has a finding of `--fail-on`.
    Matched,
    /// 124: `--timeout` passed, and no termination had begun.
    TimedOut,
}

impl Exit {
    /// After reporting: whether a finding was what `--fail-on` names.
    fn reported(pipeline: &Pipeline) -> Self {
        if pipeline.matched() { Self::Matched } else { Self::Done }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Matched => Self::from(3),
            Exit::TimedOut => Self::from(124),
        }
    }
}

/// Does what the command line asks for.
pub fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let kernel_log = cli.verbose >= 2;
    match cli.command {
        None => wait_for(trace::trace(&cli.trace, kernel_log)),
        Some(Command::Run(args)) => wait_for(run::run(&args, kernel_log)),
        Some(Command::Replay(args)) => replay::replay(&args),
        Some(Command::Doctor(args)) => wait_for(doctor::doctor(&args)),
        Some(Command::Rules(args)) => rules::rules(&args),
        Some(Command::Schema) => {
            let text = serde_json::to_string_pretty(&schema::report()).context("cannot write the schema as JSON")?;
            console::print(&(text + "\n"))?;
            Ok(Exit::Done)
        }
        Some(Command::Man { command }) => manual::man(command.as_deref()),
        Some(Command::Completions { shell }) => manual::completions(shell),
    }
}

fn wait_for(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let exit = runtime.block_on(command);
    runtime.shutdown_timeout(BACKGROUND);
    exit
}
