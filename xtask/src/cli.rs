//! The command line, as data: no behaviour.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Set-up, build, demo and tests of gracetrace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Find or install what the build (or the tests) need
    Setup {
        /// What the machine is to be made fit for
        #[arg(long = "for", value_enum, default_value_t = Purpose::Build)]
        purpose: Purpose,
    },
    /// Set up, then build target/release/gracetrace
    Build {
        /// Without optimization, into target/debug
        #[arg(long)]
        debug: bool,
    },
    /// Build, then stop a server that has live clients, and show the report
    Demo,
    /// Set up for tests, then run them, tier by tier
    Test(Selection),
    /// Boot other kernels, or whole nodes, in an emulator and run the tests there
    Vm(VmSelection),
    /// Measure gracetrace beside its peers, and say which bars hold
    Bench(BenchSelection),
    /// Write anew what the documentation takes from the program: docs/rules.md, the README's report, the pictures in docs/img
    Docs,
    /// Formatting, clippy, rustdoc, warnings of the eBPF programs, tidy
    Lint,
    /// The rules of this repository that a machine can check
    Tidy,
    /// The server that the demo stops
    #[command(hide = true)]
    DemoServer {
        /// Port on 127.0.0.1
        #[arg(long)]
        port: u16,
    },
}

/// What a machine is set up for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// To build gracetrace
    Build,
    /// To build it and to run every test tier
    Test,
    /// To build it and to write the documentation's pictures
    Docs,
    /// To build it and to run the tests on other kernels
    Vm,
    /// To build it and to run the tests on other nodes
    Node,
    /// To build it and to measure it beside its peers
    Bench,
}

/// What to measure, and how thoroughly.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchSelection {
    #[command(subcommand)]
    pub(crate) part: Option<BenchPart>,
    /// Under three minutes (the default)
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,
    /// As many rounds as it takes, and what only a long run shows
    #[arg(long)]
    pub(crate) full: bool,
    /// Write everything measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// A part of the bench that is run by itself.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum BenchPart {
    /// What each eBPF program costs the verifier and the kernel's memory; fails for one beyond its budget
    Verifier,
}

/// Which tests to run.
#[derive(Args)]
pub(crate) struct Selection {
    /// Tiers to run; all if none is named
    #[arg(value_enum)]
    pub(crate) tiers: Vec<Tier>,
    /// Leave a tier out; may be given several times
    #[arg(long, value_enum, value_name = "TIER")]
    pub(crate) without: Vec<Tier>,
    /// What follows `--` goes to each test program: a filter, `--nocapture`, …
    #[arg(last = true)]
    pub(crate) arguments: Vec<String>,
}

/// Which kernels to boot, and what to run on them.
#[derive(Args)]
pub(crate) struct VmSelection {
    /// Series of kernels (6.1, or newest); without it the usual ones
    #[arg(long, value_delimiter = ',', value_name = "SERIES")]
    pub(crate) kernel: Vec<String>,
    /// Instead, the containerd tier on whole nodes; a part of their names chooses among them
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_delimiter = ',', conflicts_with = "kernel")]
    pub(crate) node: Vec<String>,
    /// Which cgroup hierarchies a kernel mounts; with several, each kernel is tried with each
    #[arg(long, value_enum, default_value = "v2", value_delimiter = ',', conflicts_with = "node")]
    pub(crate) cgroups: Vec<Cgroups>,
    /// Only show which kernels (or nodes) there are
    #[arg(long)]
    pub(crate) list: bool,
    /// The most that one may take: 25 for a kernel and 40 for a node, unless this says otherwise
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// How many random schedules the differential tier plays; none with 0
    #[arg(long, default_value_t = 20)]
    pub(crate) schedules: u32,
    /// Write docs/compatibility.md of what came of it
    #[arg(long)]
    pub(crate) document: bool,
    /// What follows `--` goes to the tier's program: a filter, `--skip many`, …
    #[arg(last = true)]
    pub(crate) arguments: Vec<String>,
}

/// Which cgroup hierarchies are mounted.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cgroups {
    /// v2 alone
    V2,
    /// v1 alone, one hierarchy for each controller
    V1,
    /// Those of v1, and v2 without controllers
    Hybrid,
}

impl Cgroups {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
        }
    }
}

/// A test tier, from the cheapest to the dearest; they run in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Tier {
    /// Tests inside the crates, and the examples in their documentation
    Unit,
    /// Recorded event logs give the reports they gave
    Replay,
    /// What holds for any input
    Properties,
    /// The program from outside: flags, messages, exit codes
    Cli,
    /// Victims in fresh cgroups under this kernel; needs root
    Kernel,
    /// Random servers and clients, and the report against the clients' tally; needs root
    Differential,
    /// Pods of a real containerd; needs root
    Containerd,
    /// nginx, `PostgreSQL`, Node … in such pods, stopped under load; needs root and apt
    Software,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
