//! `gracetrace rules`: every finding that a report can have, as text, JSON, or the Markdown that
//! `docs/rules.md` is.

use super::{Exit, console, reports};
use crate::cli::{RulesArgs, RulesFormat};
use crate::engine::{RULES, Rule};
use crate::report::Severity;
use crate::sink::text;
use anyhow::Context;
use std::fmt::Write as _;
use std::io::IsTerminal;

const INTRODUCTION: &str = "\
# Rules

What a report can find, the gravest first: when each rule fires, what that means, and what to change in general. The finding
in a report says the same of the case at hand, with its numbers. `gracetrace rules` prints this page; `--fail-on` makes the
exit code depend on it.

This page is written by `cargo xtask docs`, from the table that the program itself has (`tracer/src/engine/diagnosis/`).
";

/// Prints the rules that were asked for, or all.
pub(super) fn rules(args: &RulesArgs) -> anyhow::Result<Exit> {
    let chosen = |rule: &&Rule| args.rules.is_empty() || args.rules.contains(&rule.id);
    let rules: Vec<&Rule> = RULES.iter().filter(chosen).collect();
    let text = match args.rules_output {
        RulesFormat::Text => {
            let out = std::io::stdout();
            text::rules(&rules, reports::width(&out), console::colour(out.is_terminal()))
        }
        RulesFormat::Json => serde_json::to_string_pretty(&rules).context("cannot write the rules as JSON")? + "\n",
        RulesFormat::Markdown => markdown(&rules),
    };
    console::print(&text)?;
    Ok(Exit::Done)
}

fn markdown(rules: &[&Rule]) -> String {
    let mut page = format!("{INTRODUCTION}\n| rule | severity | fires when |\n|---|---|---|\n");
    for Rule { id, severity, fires, .. } in rules {
        // writing to a `String` cannot fail
        let _ = writeln!(page, "| [`{id}`](#{id}) | {} | {} |", word(*severity), fires.replace('|', "\\|"));
    }
    for Rule { id, severity, fires, means, advice, .. } in rules {
        let _ = write!(page, "\n## {id}\n\n{}. {fires}\n\n{means}\n\n**What to change.** {advice}\n", word(*severity));
    }
    page
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Info => "Info",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_what_the_program_says() {
        let all: Vec<&Rule> = RULES.iter().collect();
        let page = include_str!("../../../docs/rules.md");
        assert!(page == markdown(&all), "docs/rules.md is not up to date; run: cargo xtask docs");
    }
}
