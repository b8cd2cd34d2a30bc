//! `cargo xtask bench verifier`: what each eBPF program costs the verifier and the kernel, and whether that is within
//! the budget that `tracer-ebpf/budget.txt` gives it.

use super::agent::Agent;
use super::{Binaries, frame, programs};
use crate::process;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the budgets are; a program that may grow gets a new line there, and the commit says why.
const BUDGET: &str = "tracer-ebpf/budget.txt";
/// Programs are loaded within this time.
const LOADED: Duration = Duration::from_secs(20);

/// What is counted of a program, in the order of the table's columns.
type Row = [u64; 4];
const COLUMNS: [&str; 4] = ["verified", "stack", "translated", "jited"];

/// Prints the table; an error if a program is beyond its budget.
pub(super) fn run(binaries: &Binaries) -> Result<()> {
    let (measured, budget) = (measure(binaries)?, budget()?);
    process::heading("programs: instructions verified, bytes of stack (of 512), of translated and of compiled code");
    println!("    {:<24} {}", "", COLUMNS.map(|name| format!("{name:>10} {:>8}", "budget")).join(" "));
    for (name, row) in &measured {
        let allowed = budget.get(name).copied().unwrap_or_default();
        let cells = row.iter().zip(allowed).map(|(is, may)| format!("{is:>10} {may:>8}"));
        println!("    {name:<24} {}", cells.collect::<Vec<_>>().join(" "));
    }
    let wrong = compare(&measured, &budget);
    for line in &wrong {
        eprintln!("    {line}");
    }
    if !wrong.is_empty() {
        bail!("{} beyond what {BUDGET} allows", wrong.len());
    }
    println!("    all within {BUDGET}");
    Ok(())
}

/// Loads the programs as the daemon does, and asks the kernel about them.
fn measure(binaries: &Binaries) -> Result<BTreeMap<String, Row>> {
    let object = process::target_folder()?.join("bpf/bpfel-unknown-none/release/gracetrace-probes");
    let object = fs::read(&object).with_context(|| format!("can't read {}", object.display()))?;
    let frames = frame::of_object(&object)?;
    let mut daemon = Agent::start(
        Command::new(&binaries.gracetrace).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()),
    )?;
    // attached last, when everything else is
    daemon.wait_while("its programs were attached", LOADED, |daemon| {
        !daemon.tracepoints().values().any(|name| name == "cgroup_mkdir")
    })?;
    let (held, loaded) = (daemon.tracepoints(), programs::loaded(&binaries.gauge)?);
    daemon.stop(Signal::TERM)?;
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for program in &loaded {
        let Some(name) = held.get(&program.id) else { continue };
        let stack = *frames.get(name).with_context(|| format!("{name} is not in the object"))?;
        let row = [program.verified, stack, program.translated, program.jited];
        // where a hook has two programs, the larger one counts
        let most = rows.entry(name.clone()).or_default();
        *most = std::array::from_fn(|column| most[column].max(row[column]));
    }
    Ok(rows)
}

fn budget() -> Result<BTreeMap<String, Row>> {
    let path = process::workspace()?.join(BUDGET);
    parse(&fs::read_to_string(&path).with_context(|| format!("can't read {BUDGET}"))?)
}

fn parse(text: &str) -> Result<BTreeMap<String, Row>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some((name, Row::try_from(numbers).ok()?))
    };
    lines.map(|line| row(line).with_context(|| format!("{BUDGET}: not a name and four numbers: {line}"))).collect()
}

/// Everything that is beyond its budget, has none, or has one for nothing.
fn compare(measured: &BTreeMap<String, Row>, budget: &BTreeMap<String, Row>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, row) in measured {
        let Some(allowed) = budget.get(name) else {
            wrong.push(format!("{name} has no budget; measured: {row:?}"));
            continue;
        };
        for (column, (is, may)) in COLUMNS.into_iter().zip(row.iter().zip(allowed)) {
            if is > may {
                wrong.push(format!("{name} has grown: {column} is {is}, budget {may}"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::{Row, compare, parse};
    use std::collections::BTreeMap;

    fn table(rows: &[(&str, Row)]) -> BTreeMap<String, Row> {
        rows.iter().map(|(name, row)| ((*name).to_owned(), *row)).collect()
    }

    #[test]
    fn a_program_that_grows_is_told() {
        let budget = table(&[("exit", [100, 64, 800, 500])]);
        assert_eq!(compare(&table(&[("exit", [100, 64, 800, 500])]), &budget), Vec::<String>::new());
        let grown = table(&[("exit", [101, 64, 808, 500])]);
        assert_eq!(
            compare(&grown, &budget),
            ["exit has grown: verified is 101, budget 100", "exit has grown: translated is 808, budget 800"]
        );
        assert_eq!(compare(&table(&[("fork", [1; 4])]), &budget).len(), 1);
    }

    #[test]
    fn a_budget_is_a_name_and_four_numbers() {
        assert_eq!(parse("# why\n\nexit 1 2 3 4\n").ok(), Some(table(&[("exit", [1, 2, 3, 4])])));
        assert!(parse("exit 1 2 3\n").is_err());
        assert!(parse("exit 1 2 3 x\n").is_err());
    }
}
