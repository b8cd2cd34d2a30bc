//! Parses, dispatches, exits.

use gracetrace::cli::{self, UsageError};
use gracetrace::cmd::{self, console};
use gracetrace::memory;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// The exit code of a command line that cannot be.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    memory::keep_little();
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(UsageError::Line(line)) => {
            console::say(&format!("gracetrace: {line}"));
            return ExitCode::from(USAGE);
        }
        Err(UsageError::Clap(error)) => {
            // help and version go to stdout, which may be closed
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    diagnostics(cli.verbose);
    match cmd::dispatch(cli) {
        Ok(exit) => exit.into(),
        // whoever read the reports has seen enough
        Err(error) if error.is::<console::StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            console::say(&format!("gracetrace: {}", console::one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

/// What the code says about itself goes to stderr; `-v` for more of it.
fn diagnostics(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        3.. => LevelFilter::TRACE,
    };
    // what the transport under the CRI has to say of itself helps nobody
    let quiet = ["h2", "hyper", "tower", "tonic", "aya_obj"].map(|target| (target, LevelFilter::WARN));
    let words = tracing_subscriber::fmt::layer()
        .with_writer(console::stderr)
        .with_ansi(console::colour(std::io::stderr().is_terminal()))
        .without_time()
        .with_target(verbose > 1);
    let filter = Targets::new().with_default(level).with_targets(quiet);
    tracing_subscriber::registry().with(words).with(filter).init();
}
