//! The command line, as data: what can be asked for, and what each word may look like. What is done
//! about it is in [`crate::cmd`].
//!
//! Every flag has a `GRACETRACE_*` variable; a flag wins over its variable, that over the default.

mod rules;
mod values;

use crate::source::cgroupfs::{Controller, Wish};
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

pub use rules::FailOn;
pub use values::duration_text;

/// Says from the kernel what happened when Kubernetes stopped a pod.
///
/// Without a command it traces: every pod on this node until it is told to stop, or with --pod one pod
/// until it has ended. Reports go to stdout, everything else to stderr.
///
/// Exit codes: 0 reported; 1 could not trace (one line on stderr says why); 2 usage; 3 --fail-on matched;
/// 124 --timeout passed, and no termination had begun.
#[derive(Clone, Debug, Parser)]
#[command(name = "gracetrace", version, max_term_width = 110)]
pub struct Cli {
    /// Say more on stderr; twice for every detail, and the probes' own words
    #[arg(short, long, env = "GRACETRACE_VERBOSE", action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to trace when no command is given.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// What to do instead of tracing pods.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done besides tracing pods.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a command, stop it as Kubernetes would, report how it went: no Kubernetes, no container runtime
    Run(RunArgs),
    /// Make the reports of a recorded event log again: no privileges, no probes
    Replay(ReplayArgs),
    /// List every finding that a report can have: when it fires, what it means, what to change
    Rules(RulesArgs),
    /// Say what this kernel and node allow, and what is lost without each
    Doctor(DoctorArgs),
    /// Print the JSON Schema of the report
    Schema,
    /// Print the man page, or that of a command: `gracetrace man run | man -l -`
    Man {
        /// The command
        #[arg(value_parser = command_name)]
        command: Option<String>,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `gracetrace` and `gracetrace --pod NAME`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct TraceArgs {
    /// Trace this pod only (its uid will do): wait for it, report its end, exit
    #[arg(long, env = "GRACETRACE_POD", value_name = "NAME", value_parser = values::pod_name)]
    pub pod: Option<String>,
    /// Only pods of this namespace
    #[arg(short, long, env = "GRACETRACE_NAMESPACE", value_parser = values::namespace)]
    pub namespace: Option<String>,
    /// Pods of every namespace (the default; wins over --namespace)
    #[arg(short = 'A', long, env = "GRACETRACE_ALL_NAMESPACES", value_parser = FalseyValueParser::new())]
    #[arg(action = clap::ArgAction::SetTrue)]
    pub all_namespaces: bool,
    /// With --pod: end after this long; if no termination has begun by then, with exit code 124
    #[arg(long, env = "GRACETRACE_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub timeout: Option<Duration>,
    /// Grace period of pods whose own cannot be read, like 30s
    #[arg(long, env = "GRACETRACE_GRACE_PERIOD", value_name = "DURATION")]
    #[arg(value_parser = values::duration_or_zero)]
    pub grace_period: Option<Duration>,
    /// The container runtime's socket, instead of the usual places, like `unix:///run/containerd/containerd.sock`
    #[arg(long, env = "GRACETRACE_RUNTIME_ENDPOINT", value_name = "ENDPOINT")]
    pub runtime_endpoint: Option<String>,
    /// How reports are written, what else is kept of them, and how to trace.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How to trace.
    #[command(flatten)]
    pub probes: ProbeArgs,
}

impl TraceArgs {
    /// The namespace to keep to.
    pub fn only_namespace(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|_| !self.all_namespaces)
    }
}

/// `gracetrace run`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct RunArgs {
    /// Stop the command this long after its start (else on Ctrl-C or SIGTERM)
    #[arg(long, env = "GRACETRACE_STOP_AFTER", value_name = "DURATION", value_parser = values::duration)]
    pub stop_after: Option<Duration>,
    /// What to stop it with, like SIGQUIT or RTMIN+3
    #[arg(long, env = "GRACETRACE_STOP_SIGNAL", value_name = "SIGNAL", default_value = "SIGTERM")]
    #[arg(value_parser = values::stop_signal)]
    pub stop_signal: i32,
    /// How long it may take after that, before SIGKILL; 0s to kill it at once
    #[arg(long, env = "GRACETRACE_GRACE_PERIOD", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = values::duration_or_zero)]
    pub grace_period: Duration,
    /// Make it PID 1 of a PID namespace of its own, as in a container
    #[arg(long, env = "GRACETRACE_PID_NAMESPACE", value_parser = FalseyValueParser::new())]
    #[arg(action = clap::ArgAction::SetTrue)]
    pub pid_namespace: bool,
    /// How reports are written.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How to trace.
    #[command(flatten)]
    pub probes: ProbeArgs,
    /// The command and its arguments; its stdout goes to stderr
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<std::ffi::OsString>,
}

/// `gracetrace replay`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct ReplayArgs {
    /// What --record wrote
    pub file: PathBuf,
    /// Only pods of this namespace
    #[arg(short, long, env = "GRACETRACE_NAMESPACE", value_parser = values::namespace)]
    pub namespace: Option<String>,
    /// How reports are written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `gracetrace doctor`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct DoctorArgs {
    /// The container runtime's socket, instead of the usual places
    #[arg(long, env = "GRACETRACE_RUNTIME_ENDPOINT", value_name = "ENDPOINT")]
    pub runtime_endpoint: Option<String>,
    /// By which cgroups.
    #[command(flatten)]
    pub cgroups: CgroupArgs,
}

/// How reports are written.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct OutputArgs {
    /// How reports are written: text on a terminal and jsonl elsewhere, unless this says otherwise
    #[arg(short, long, env = "GRACETRACE_OUTPUT", value_enum)]
    pub output: Option<Format>,
    /// End with exit code 3 if a report has a finding of these rules, or of this severity (info, warning, error) or graver
    #[arg(long, env = "GRACETRACE_FAIL_ON", value_name = "RULE,…", value_delimiter = ',', value_parser = rules::fail_on)]
    pub fail_on: Vec<FailOn>,
}

/// `gracetrace rules`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct RulesArgs {
    /// Only these
    #[arg(value_name = "RULE", value_parser = rules::rule)]
    pub rules: Vec<&'static str>,
    /// How they are written
    #[arg(short = 'o', long = "output", env = "GRACETRACE_RULES_OUTPUT", value_name = "OUTPUT", value_enum)]
    #[arg(default_value = "text")]
    pub rules_output: RulesFormat,
}

/// How to trace.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct ProbeArgs {
    /// Keep everything that was seen in this file, for `gracetrace replay`
    #[arg(long, env = "GRACETRACE_RECORD", value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// This node's name, for the reports (default: `$NODE_NAME`, else the host name)
    #[arg(long, env = "GRACETRACE_NODE", value_name = "NAME")]
    pub node: Option<String>,
    /// How many connections a report lists one by one; all are counted
    #[arg(long, env = "GRACETRACE_MAX_CONNECTIONS", value_name = "N", default_value_t = 1000)]
    pub max_connections: usize,
    /// By which cgroups.
    #[command(flatten)]
    pub cgroups: CgroupArgs,
    /// Room for what the kernel saw and gracetrace has not read yet
    #[arg(long, env = "GRACETRACE_RING_BUFFER_SIZE", value_name = "SIZE", default_value = "16MiB")]
    #[arg(value_parser = values::ring_size)]
    pub ring_buffer_size: u32,
}

/// By which cgroups pods are told apart.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
pub struct CgroupArgs {
    /// The cgroup hierarchy by which it is told whose a process is
    #[arg(long, env = "GRACETRACE_CGROUP_HIERARCHY", value_enum, value_name = "HIERARCHY", default_value_t)]
    pub cgroup_hierarchy: CgroupHierarchy,
}

/// A cgroup hierarchy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CgroupHierarchy {
    /// v2 where it is mounted, unless only v1 has pods
    #[default]
    Auto,
    /// v2
    V2,
    /// v1's of the controller pids
    Pids,
    /// v1's of the controller memory
    Memory,
}

impl CgroupHierarchy {
    /// As it is looked for.
    pub fn wish(self) -> Wish {
        match self {
            Self::Auto => Wish::Auto,
            Self::V2 => Wish::V2,
            Self::Pids => Wish::V1(Controller::Pids),
            Self::Memory => Wish::V1(Controller::Memory),
        }
    }
}

/// How reports are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: a page a report; from the daemon, a line a report
    Text,
    /// One indented object a report
    Json,
    /// One object a line
    Jsonl,
    /// One page for a browser, with nothing outside of it: a section a report
    Html,
}

/// How rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RulesFormat {
    /// For people
    Text,
    /// A list of objects
    Json,
    /// As docs/rules.md
    Markdown,
}

/// Why a command line is refused.
#[derive(Debug)]
pub enum UsageError {
    /// One line that says why.
    Line(String),
    /// What clap has to say, which may also be the help or the version that was asked for.
    Clap(clap::Error),
}

/// Reads a command line.
pub fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, UsageError> {
    use clap::{CommandFactory, FromArgMatches};
    let matches = Cli::command().try_get_matches_from(words).map_err(refusal)?;
    if let (Some((command, _)), Some(flag)) = (matches.subcommand(), misplaced(&matches)) {
        return Err(UsageError::Line(format!(
            "--{flag} before `{command}` would do nothing: put it behind, if `gracetrace {command} --help` lists it"
        )));
    }
    let cli = Cli::from_arg_matches(&matches).map_err(refusal)?;
    if cli.command.is_none() && cli.trace.timeout.is_some() && cli.trace.pod.is_none() {
        return Err(UsageError::Line(
            "--timeout is for --pod: without a pod to wait for, gracetrace runs until it is told to stop".to_owned(),
        ));
    }
    Ok(cli)
}

/// The name of one of the program's own commands.
fn command_name(text: &str) -> Result<String, String> {
    use clap::CommandFactory;
    let cli = Cli::command();
    if cli.find_subcommand(text).is_some() {
        return Ok(text.to_owned());
    }
    let names = cli.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join(", ");
    Err(format!("is no command; it is one of {names}"))
}

/// A flag of [`TraceArgs`] that was typed in front of a command.
fn misplaced(matches: &clap::ArgMatches) -> Option<String> {
    let typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine);
    matches.ids().filter(typed).map(|id| id.as_str().replace('_', "-")).find(|flag| flag != "verbose")
}

/// A value that cannot be is one line; everything else is clap's to explain.
fn refusal(error: clap::Error) -> UsageError {
    if error.kind() != clap::error::ErrorKind::ValueValidation {
        return UsageError::Clap(error);
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    UsageError::Line(line.strip_prefix("error: ").unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, String> {
        parse(line.split(' ').map(Into::into)).map_err(|error| match error {
            UsageError::Line(line) => line,
            UsageError::Clap(error) => error.to_string(),
        })
    }

    #[test]
    fn the_declaration_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        use clap::CommandFactory;
        let root = Cli::command();
        for command in std::iter::once(&root).chain(root.get_subcommands()) {
            for flag in command
                .get_arguments()
                .filter(|arg| arg.get_long().is_some_and(|long| !matches!(long, "help" | "version")))
            {
                let variable = format!("GRACETRACE_{}", flag.get_id().as_str().to_uppercase());
                assert_eq!(flag.get_env(), Some(variable.as_ref()), "{}: {}", command.get_name(), flag.get_id());
            }
        }
    }

    #[test]
    fn reads_what_people_type() {
        let cli = read("gracetrace --pod web -n shop --timeout 1m30s -o json").expect("a usual line");
        assert_eq!(cli.trace.pod.as_deref(), Some("web"));
        assert_eq!(cli.trace.only_namespace(), Some("shop"));
        assert_eq!(cli.trace.timeout, Some(Duration::from_secs(90)));
        assert_eq!(cli.trace.output.output, Some(Format::Json));
        assert_eq!(cli.trace.probes.ring_buffer_size, 16 << 20);

        let cli = read("gracetrace -A -n shop").expect("-A wins");
        assert_eq!(cli.trace.only_namespace(), None);

        let cli =
            read("gracetrace run -v --stop-after 500ms --stop-signal quit --pid-namespace -- sleep -n 5").expect("run");
        assert_eq!(cli.verbose, 1);
        let Some(Command::Run(run)) = cli.command else { panic!("{cli:?}") };
        assert_eq!((run.stop_after, run.stop_signal), (Some(Duration::from_millis(500)), 3));
        assert_eq!(run.command, ["sleep", "-n", "5"]);
        assert!(run.pid_namespace);
    }

    #[test]
    fn refuses_with_a_reason() {
        for (line, reason) in [
            ("gracetrace --pod Web", "a pod name cannot contain upper-case letters"),
            ("gracetrace --pod web -n a.b", "a namespace cannot contain '.'"),
            ("gracetrace --timeout 60s", "--timeout is for --pod"),
            ("gracetrace --pod web --timeout=-5s", "cannot be negative"),
            ("gracetrace --grace-period 5s run -- true", "--grace-period before `run` would do nothing"),
            ("gracetrace run", "<CMD>"),
            ("gracetrace run --stop-signal KILL -- true", "cannot be caught"),
            ("gracetrace --frobnicate", "--frobnicate"),
        ] {
            let refusal = read(line).expect_err(line);
            assert!(refusal.contains(reason), "{line}: {refusal}");
        }
    }
}
