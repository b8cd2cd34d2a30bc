//! Behaviours without a server: those that end by themselves.

use crate::options::Options;
use crate::stamps::Stamps;
use std::time::Duration;

/// Waits, then ends.
pub(crate) fn after(delay: Duration, stamps: &Stamps, end: impl FnOnce()) {
    stamps.now("ready", "");
    std::thread::sleep(delay);
    stamps.now("exit", "");
    end();
}

/// Touches `mib` MiB one by one, then waits for what becomes of it.
pub(crate) fn eat_memory(mib: usize, options: &Options) {
    let stamps = &options.stamps;
    stamps.now("ready", "");
    // long enough for a tracer to be there first
    std::thread::sleep(Duration::from_millis(options.delay_ms));
    stamps.now("eating", "");
    let mut eaten = Vec::new();
    for _ in 0..mib {
        eaten.push(vec![1_u8; 1 << 20]);
    }
    stamps.now("full", "");
    loop {
        std::thread::sleep(Duration::from_secs(60));
        std::hint::black_box(&eaten);
    }
}
