//! Every automation of gracetrace, as `cargo xtask COMMAND`.
//!
//! Parses, dispatches, exits. It depends on next to nothing, because it installs what the rest needs.
#![expect(clippy::print_stdout, reason = "what a person reads is this program's output")]

mod bench;
mod bpf_toolchain;
mod build;
mod cli;
mod demo;
mod demo_clients;
mod demo_server;
mod docs;
mod lint;
mod process;
mod qemu;
mod setup;
mod test;
mod tidy;
mod vm;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup { purpose } => setup::run(purpose),
        Command::Build { debug } => build::run(debug).map(|_| ()),
        Command::Demo => demo::run(),
        Command::Test(selection) => test::run(&selection),
        Command::Vm(selection) => vm::run(&selection),
        Command::Bench(selection) => bench::run(&selection),
        Command::Docs => docs::run(),
        Command::Lint => lint::run(),
        Command::Tidy => tidy::run(),
        Command::DemoServer { port } => demo_server::run(port),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
