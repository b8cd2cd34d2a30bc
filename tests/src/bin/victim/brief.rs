//! Behaviours without a server: those that end by themselves.

use crate::options::Options;
use crate::outbound;
use crate::stamps::Stamps;
use std::io::Write;
use std::time::Duration;

/// Connects, waits, then ends. Its connections the kernel closes.
pub(crate) fn after(delay: Duration, options: &Options, end: impl FnOnce()) {
    let _outbound = outbound::open(&options.connect, &options.stamps);
    options.stamps.now("ready", "");
    if options.announce {
        drop(writeln!(std::io::stdout(), "ready"));
    }
    std::thread::sleep(delay);
    options.stamps.now("exit", "");
    end();
}

/// Waits a moment, then eats.
pub(crate) fn eat_memory(mib: usize, options: &Options) -> ! {
    options.stamps.now("ready", "");
    if options.announce {
        drop(writeln!(std::io::stdout(), "ready"));
    }
    // long enough for a tracer to be there first
    std::thread::sleep(Duration::from_millis(options.delay_ms));
    eat(mib, &options.stamps)
}

/// Touches `mib` MiB one by one, then waits for what becomes of it.
pub(crate) fn eat(mib: usize, stamps: &Stamps) -> ! {
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
