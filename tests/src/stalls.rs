//! How long an emulated machine has stood still: its host takes the processor away, for a tenth of a second where it is busy, and
//! what happens before and after is then that much further apart than any stamp of a process there can say.

use crate::clock::slow;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked.
const BEAT: Duration = Duration::from_millis(5);
/// Longer than all but the longest scenarios take.
const KEPT: Duration = Duration::from_secs(20);
/// Shorter ones are everyday ones, for which tolerances allow.
const WORTH_MS: f64 = 10.0;

/// When, and for how long (milliseconds).
static SEEN: Mutex<VecDeque<(Instant, f64)>> = Mutex::new(VecDeque::new());

/// Begins to look, on an emulated machine; on any other time is taken at its word.
pub fn watch() {
    static WATCHED: OnceLock<()> = OnceLock::new();
    if slow() > 1.0 {
        WATCHED.get_or_init(|| drop(std::thread::spawn(look)));
    }
}

/// For how long of late, in milliseconds: between two moments of a scenario it may have been all of that, for where one took the
/// processor others did (a busy host, 100 ms in four pieces between a victim's last stamp and its exit).
pub fn total_ms() -> f64 {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let recent = seen.iter().filter(|(at, _)| at.elapsed() < KEPT);
    recent.map(|(_, ms)| *ms).sum()
}

fn look() {
    loop {
        let before = Instant::now();
        std::thread::sleep(BEAT);
        let late_ms = before.elapsed().saturating_sub(BEAT).as_secs_f64() * 1e3;
        if late_ms >= WORTH_MS {
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            seen.retain(|(at, _)| at.elapsed() < KEPT);
            seen.push_back((Instant::now(), late_ms));
        }
    }
}
