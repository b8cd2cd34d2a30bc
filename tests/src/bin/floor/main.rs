//! What a tracer of raw tracepoints cannot undercut, for `cargo xtask bench`: on each hook that is named a program that returns
//! at once, on one that is named twice two of them. They stay until this is told to end.

mod sys;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut held = Vec::new();
    for hook in std::env::args().skip(1) {
        held.push(sys::attach(&hook).with_context(|| format!("can't attach a program to {hook}"))?);
    }
    loop {
        // SIGTERM ends it, and with it go its programs
        std::thread::park();
    }
}
