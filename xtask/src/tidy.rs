//! `cargo xtask tidy`: the rules of this repository that a machine can check.
//!
//! A rule that no machine checks is a wish; here is one small function for each.

mod checks;
mod code;

use crate::process;
use anyhow::{Context, Result, bail};
use checks::{CHECKS, Finding, Source};
use std::fs;
use std::path::Path;

/// Files larger than this are data, not text for people.
const LARGEST: u64 = 4 << 20;

/// Checks every text file of the work tree and prints what is wrong as `path:line: what`.
pub(crate) fn run() -> Result<()> {
    let root = process::workspace()?;
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources)?;
    let mut wrong = 0;
    for source in &sources {
        for Finding { line, what } in CHECKS.iter().flat_map(|check| check(source)) {
            eprintln!("    {}:{line}: {what}", source.path);
            wrong += 1;
        }
    }
    if wrong > 0 {
        bail!("tidy found {wrong} in {} files", sources.len());
    }
    println!("    tidy: {} files, nothing wrong", sources.len());
    Ok(())
}

/// Reads the text files below a folder; what git ignores by this repository's rules is left out.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("can't list {}", folder.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().with_context(|| format!("can't look at {}", path.display()))?;
        if ["target", ".git", ".cache"].iter().any(|ignored| name == *ignored) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, sources)?;
        } else if kind.is_file() && entry.metadata().is_ok_and(|file| file.len() <= LARGEST) {
            let bytes = fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                sources.push(Source::new(relative.display().to_string(), text));
            }
        }
    }
    Ok(())
}
