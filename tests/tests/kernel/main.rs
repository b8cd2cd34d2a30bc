//! The kernel tier: victims under `gracetrace run`, on this kernel, with exact assertions.
//!
//! Needs root. Each case is data; [`check::check`] plays it. `tcp` has those about what became of connections.

mod calm;
mod cases;
mod check;
mod connections;
mod full;
mod goes_on;
mod hierarchies;
mod idle;
mod many;
mod nesting;
mod pods;
mod presence;
mod startup;
mod storm;
mod tcp;
mod timeout;
mod types;

use gracetrace_tests::command::Machine;
use gracetrace_tests::suite;
use std::path::Path;

fn main() -> std::process::ExitCode {
    suite::run("kernel", &cases::all(), || Machine::new(Path::new(env!("CARGO_BIN_EXE_victim"))))
}
