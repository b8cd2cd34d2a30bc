//! Signals from every CPU at once, as many as are asked for: what a ring buffer has to take.

use super::sys;
use rustix::process::{WaitOptions, waitpid};

/// A process on each CPU sends its share to itself, as fast as it can.
pub(super) fn blow(count: u64) -> anyhow::Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let shares = u64::try_from(cpus)?;
    let mut children = Vec::new();
    for (cpu, index) in (0..cpus).zip(0_u64..) {
        let share = count / shares + u64::from(index < count % shares);
        children.push(sys::fork_and(|| {
            let _anywhere = sys::pin(cpu);
            for _ in 0..share {
                let _sent = sys::kill_self(false);
            }
        })?);
    }
    for child in children {
        waitpid(Some(child), WaitOptions::empty())?;
    }
    Ok(())
}
