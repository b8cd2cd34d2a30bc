//! `cargo xtask test`: the tiers in order, their output as it comes, and a table at the end.
//!
//! Nothing is skipped on the quiet: a tier that can't run, runs no test or ignores one has failed; and what a tier leaves out because this
//! machine lacks something for it is told below the table, with the reason.

mod count;

use crate::cli::{Purpose, Selection, Tier};
use crate::{build, process, setup};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use count::Count;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

/// What came of a tier.
struct Outcome {
    tier: Tier,
    count: Count,
    took: Duration,
    /// Why it failed beyond its failed tests.
    trouble: Option<String>,
}

/// Runs what was chosen.
pub(crate) fn run(selection: &Selection) -> Result<()> {
    let tiers = chosen(selection)?;
    let needs_test_setup = tiers.iter().any(|tier| needs_root(*tier));
    setup::run(if needs_test_setup { Purpose::Test } else { Purpose::Build })?;
    let mut binary = None;
    if tiers.iter().any(|tier| *tier != Tier::Unit) {
        binary = Some(build::binary(false)?);
    }

    let mut outcomes = Vec::new();
    for tier in tiers {
        process::heading(&format!("tier {}", name(tier)));
        let began = Instant::now();
        let mut count = Count::default();
        let trouble = run_tier(tier, &selection.arguments, binary.as_deref(), &mut count).err();
        let trouble = verdict(&count, trouble.map(|error| format!("{error:#}")), selection.arguments.is_empty());
        outcomes.push(Outcome { tier, count, took: began.elapsed(), trouble });
    }
    conclude(&outcomes)
}

/// Runs all of a tier, also after a part has failed; the first trouble is told.
fn run_tier(tier: Tier, arguments: &[String], binary: Option<&Path>, count: &mut Count) -> Result<()> {
    let mut result = Ok(());
    for mut command in commands(tier, arguments)? {
        command.envs(binary.map(|path| ("GRACETRACE_BIN", path)));
        result = result.and(stream(&mut command, count));
    }
    result
}

/// The tiers to run, each once and in order.
fn chosen(selection: &Selection) -> Result<Vec<Tier>> {
    let all = Tier::value_variants();
    let wanted = if selection.tiers.is_empty() { all } else { &selection.tiers };
    let tiers: Vec<Tier> =
        all.iter().copied().filter(|tier| wanted.contains(tier) && !selection.without.contains(tier)).collect();
    if tiers.is_empty() {
        bail!("no tier is left to run; name one that --without does not leave out");
    }
    Ok(tiers)
}

fn needs_root(tier: Tier) -> bool {
    matches!(tier, Tier::Kernel | Tier::Differential | Tier::Containerd | Tier::Software)
}

fn name(tier: Tier) -> String {
    tier.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The calls of cargo that are this tier.
fn commands(tier: Tier, arguments: &[String]) -> Result<Vec<Command>> {
    let test = |words: &[&str]| process::cargo(["test", "--no-fail-fast"].iter().chain(words));
    let mut commands = match tier {
        Tier::Unit => vec![test(&["--workspace", "--lib", "--bins"])?, test(&["--workspace", "--doc"])?],
        Tier::Replay | Tier::Properties | Tier::Cli => {
            vec![test(&["--package", "gracetrace-tests", "--test", &name(tier)])?]
        }
        Tier::Kernel | Tier::Differential | Tier::Containerd | Tier::Software => {
            let mut command = test(&["--package", "gracetrace-tests", "--test", &name(tier)])?;
            as_root(&mut command)?;
            vec![command]
        }
    };
    let one_by_one = needs_root(tier) && !arguments.iter().any(|argument| argument.starts_with("--test-threads"));
    for command in &mut commands {
        command.arg("--").args(arguments);
        if one_by_one {
            // these share cgroups, namespaces and the clock with each other
            command.arg("--test-threads=1");
        }
    }
    Ok(commands)
}

/// Lets cargo start the test program through sudo, unless we are root.
fn as_root(command: &mut Command) -> Result<()> {
    if process::is_root() {
        return Ok(());
    }
    if !process::succeeds("sudo", &["-n", "true"]) {
        bail!("this tier needs root; run `cargo xtask test` as root, or leave the tier out with --without");
    }
    let variable = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", env::consts::ARCH.to_uppercase());
    command.env(variable, "sudo -n -E");
    Ok(())
}

/// Runs it, passes on what it prints as it comes, and counts.
fn stream(command: &mut Command, count: &mut Count) -> Result<()> {
    let line = process::shown(command);
    println!("    $ {line}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("can't start `{line}`"))?;
    let mut output = child.stdout.take().context("its output is not piped")?;
    let mut printed = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = output.read(&mut chunk).with_context(|| format!("can't read what `{line}` prints"))?;
        if length == 0 {
            break;
        }
        io::stdout().write_all(&chunk[..length])?;
        io::stdout().flush()?;
        printed.extend_from_slice(&chunk[..length]);
    }
    let before = count.failed;
    count.add(&String::from_utf8_lossy(&printed));
    let status = child.wait().with_context(|| format!("can't wait for `{line}`"))?;
    if !status.success() && count.failed == before {
        bail!("`{line}` failed ({status}) before its tests did");
    }
    Ok(())
}

/// What else makes a tier fail. Under a filter a tier may well have nothing to run.
fn verdict(count: &Count, trouble: Option<String>, whole: bool) -> Option<String> {
    trouble
        .or_else(|| (count.ignored > 0).then(|| format!("{} ignored", count.ignored)))
        .or_else(|| (whole && count.passed + count.failed == 0).then(|| "no test ran".to_owned()))
}

/// Prints the table and the sum; fails if anything has.
fn conclude(outcomes: &[Outcome]) -> Result<()> {
    process::heading("tests");
    println!("    {:<12} {:>7} {:>7} {:>8}", "tier", "passed", "failed", "seconds");
    let mut sum = Count::default();
    for Outcome { tier, count, took, trouble } in outcomes {
        // trouble is a failure too, or the sum would look whole
        let failed = count.failed + u64::from(trouble.is_some());
        let note = trouble.as_deref().unwrap_or_default();
        println!("    {:<12} {:>7} {failed:>7} {:>8.1}  {note}", name(*tier), count.passed, took.as_secs_f64());
        sum.passed += count.passed;
        sum.failed += failed;
    }
    for what in outcomes.iter().flat_map(|outcome| &outcome.count.left_out) {
        println!("    left out on this machine: {what}");
    }
    println!("\n{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed > 0 {
        bail!("tests failed");
    }
    if sum.passed == 0 {
        bail!("no test ran: nothing matches the filter");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Count, Selection, Tier, chosen, verdict};

    fn select(tiers: &[Tier], without: &[Tier]) -> Option<Vec<Tier>> {
        chosen(&Selection { tiers: tiers.to_vec(), without: without.to_vec(), arguments: Vec::new() }).ok()
    }

    #[test]
    fn tiers_run_once_and_in_order() {
        assert!(select(&[Tier::Cli, Tier::Unit, Tier::Cli], &[]) == Some(vec![Tier::Unit, Tier::Cli]));
        let privileged = [Tier::Kernel, Tier::Differential, Tier::Containerd, Tier::Software];
        assert!(select(&[], &privileged).is_some_and(|tiers| tiers.len() == 4));
        assert!(select(&[Tier::Unit], &[Tier::Unit]).is_none());
    }

    #[test]
    fn a_tier_without_tests_has_failed() {
        let some = Count { passed: 3, ..Count::default() };
        assert_eq!(verdict(&some, None, true), None);
        assert_eq!(verdict(&Count::default(), None, true).as_deref(), Some("no test ran"));
        assert_eq!(verdict(&Count::default(), None, false), None);
        assert_eq!(verdict(&Count { ignored: 1, ..some.clone() }, None, true).as_deref(), Some("1 ignored"));
        assert_eq!(verdict(&some, Some("why".to_owned()), true).as_deref(), Some("why"));
    }
}
