//! How quickly tracing begins, and that nothing of the command is missed for it.

use crate::types;
use gracetrace_tests::clock::{ms_between, slow};
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;

/// How many times longer still it may take in an emulated kernel. Another emulator beside it takes the processors away for as
/// long as it likes (1.5 to 2.1 s alone, 3.8 s and more beside one), so only a start of another order of magnitude fails
/// there: that a probe costs some kernel's verifier far more than others. The limit itself is for real kernels.
const EMULATED: f64 = 3.0;

/// Every probe is attached within 250 ms, and the command's exec comes after that.
pub(crate) fn is_quick(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let limit = 250.0 * slow() * if slow() > 1.0 { EMULATED } else { 1.0 };
    let (log, stamps) = (machine.file("start-up.jsonl"), machine.file("start-up.stamps"));
    let tracer = machine.run(&["--grace-period", "2s"], &["complete", "200"], &log, &stamps)?;
    let started_at = tracer.started_at;
    let finished = tracer.finish()?;
    let mut facts = Facts::of(finished.report()?);
    facts.is("/outcome", "Completed");
    let attached = recording::session(&log)?["startedAt"].as_u64().unwrap_or_default();
    let took = ms_between(started_at, attached);
    let within = (0.0..limit).contains(&took);
    facts.holds(within, &format!("attached {took:.1} ms after the start"), &format!("{limit} ms are the limit"));
    let ready = StampFile::at(&stamps).first("ready")?;
    facts.holds(attached < ready.at_ns, "the victim was ready after that", "it was before");
    let seen = recording::inputs(&log)?
        .iter()
        .any(|input| input.to_string().contains("ProcessExecuted") && input.to_string().contains("victim"));
    facts.holds(seen, "the victim's exec is in the log", "it is not");
    facts.verdict()
}

/// `--stop-after` stops the command by itself, and on time.
pub(crate) fn stops_after(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (log, stamps) = (machine.file("stop-after.jsonl"), machine.file("stop-after.stamps"));
    let tracer = machine.run(&["--grace-period", "2s", "--stop-after", "700ms"], &["graceful"], &log, &stamps)?;
    let finished = tracer.finish()?;
    let stamps = StampFile::at(&stamps);
    let waited = ms_between(stamps.first("ready")?.at_ns, stamps.first("handler")?.at_ns);
    let mut facts = Facts::of(finished.report()?);
    facts.is("/outcome", "Graceful");
    facts.holds(
        (700.0 - 100.0 * slow()..700.0 + 100.0 * slow()).contains(&waited),
        "stopped 700 ms after the start",
        &format!("it was {waited:.0} ms"),
    );
    facts.handler_to_exit(
        "/containers/0",
        ms_between(stamps.first("handler")?.at_ns, stamps.first("exit")?.at_ns),
        5.0,
    );
    facts.findings(&[]);
    facts.verdict()
}

/// Where the kernel tells programs the types of what they are given, those that can load from it; elsewhere they read by
/// helpers. Which it is to be, the kernel's types say; that its verifier takes the programs, only the attempt.
pub(crate) fn plain_loads(_machine: &Machine) -> anyhow::Result<Vec<String>> {
    let tells = types::have("bpf_get_current_task_btf")? && types::have("bpf_skc_to_tcp_sock")?;
    let expected = if tells { "by plain loads (tp_btf)" } else { "by helpers" };
    let mut facts = Facts::of(serde_json::Value::Null);
    let output = std::process::Command::new(gracetrace_tests::tracer::binary()?).arg("doctor").output()?;
    let [said, why] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    for hook in [
        "signal_generate",
        "signal_deliver",
        "sched_process_fork",
        "sched_process_exec",
        "sched_process_exit",
        "inet_sock_set_state",
    ] {
        let line = said.lines().find(|line| line.contains(hook)).unwrap_or_default();
        facts.holds(line.ends_with(expected), &format!("{hook} reads {expected}"), &format!("{line}\n{why}"));
    }
    facts.verdict()
}
