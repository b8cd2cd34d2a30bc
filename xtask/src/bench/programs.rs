//! The eBPF programs that are loaded in this kernel, as `gauge` prints them.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// `enum bpf_prog_type` of what can sit on the hooks that are measured: kprobe, tracepoint, perf event, raw tracepoint
/// (read-only and writable), tracing (fentry, `tp_btf`).
const TRACING: [u32; 6] = [2, 5, 7, 17, 24, 26];

/// One program, and what it has done since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) id: u32,
    kind: u32,
    /// As the kernel keeps it: 15 bytes at most.
    pub(super) name: String,
    /// Instructions that the verifier went through.
    pub(super) verified: u64,
    /// Bytes of its code, translated and compiled.
    pub(super) translated: u64,
    pub(super) jited: u64,
    /// Counted while `bpf_stats_enabled` is set.
    pub(super) run_ns: u64,
    pub(super) runs: u64,
}

impl Program {
    /// Whether it may be called where ours are.
    pub(super) fn is_tracing(&self) -> bool {
        TRACING.contains(&self.kind)
    }
}

/// All of them.
pub(super) fn loaded(gauge: &Path) -> Result<Vec<Program>> {
    let output = Command::new(gauge).output().context("can't start gauge")?;
    if !output.status.success() {
        bail!("gauge failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    lines.lines().map(|line| parse(line).with_context(|| format!("gauge printed {line:?}"))).collect()
}

fn parse(line: &str) -> Option<Program> {
    let words: Vec<&str> = line.split(' ').collect();
    let [id, kind, name, numbers @ ..] = words.as_slice() else { return None };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [verified, translated, jited, run_ns, runs] = numbers.as_slice().try_into().ok()?;
    let (id, kind, name) = (id.parse().ok()?, kind.parse().ok()?, (*name).to_owned());
    Some(Program { id, kind, name, verified, translated, jited, run_ns, runs })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_what_gauge_prints() {
        let program = parse("215 17 signal_generate 812 4000 2500 123 4").expect("a whole line");
        assert_eq!((program.id, program.name.as_str(), program.verified), (215, "signal_generate", 812));
        assert_eq!((program.translated, program.jited, program.run_ns, program.runs), (4000, 2500, 123, 4));
        assert!(program.is_tracing());
        assert_eq!(parse("215 17 signal_generate 812"), None);
    }
}
