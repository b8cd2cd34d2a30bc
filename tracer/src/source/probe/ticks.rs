//! How many ticks a second the kernel has (`CONFIG_HZ`), which no system call tells: worked out from
//! `jiffies` as the canary saw them.
//!
//! The canary is a `SIGURG` to ourselves, ignored unless somebody handles it; `signal_generate` runs
//! while it is sent, so its findings are there when `kill` returns.

use crate::source::clock;
use aya::maps::{Array, MapData};
use std::time::{Duration, Instant};
use tracer_ebpf::learnt;

/// `jiffies_64` begins at 2³² − 300 s (`INITIAL_JIFFIES`), so that an overflow shows early.
const FIRST_OVERFLOW: u64 = 1 << 32;
const FIRST_OVERFLOW_S: f64 = 300.0;
/// So long after (or before) the overflow, the second or so between the first tick and the clock's
/// zero is too little to take one rate for another.
const SURE_AFTER_S: f64 = 60.0;
/// So long between two samples, one tick more or less is too little as well.
const SURE_BETWEEN: Duration = Duration::from_secs(1);
/// `kernel/Kconfig.hz`, and what some architectures add.
const RATES: [u32; 8] = [24, 100, 128, 250, 256, 300, 1000, 1024];
/// How far from a rate a measurement may be.
const TOLERANCE: f64 = 0.04;
/// Clocks that disagree by more than this are not the same clock (a time namespace).
const SAME_CLOCK_NS: u64 = 1_000_000_000;

/// `jiffies_64` at a time of the boot clock.
#[derive(Clone, Copy, Debug)]
struct Sample {
    jiffies: u64,
    at_ns: u64,
}

/// The tick rate on its way to the probes.
pub(super) struct Calibration {
    learnt: Array<MapData, u64>,
    /// Not known yet: the first of two samples, and when it was taken.
    first: Option<(Sample, Instant)>,
    /// What went wrong with the canary.
    limits: Vec<String>,
}

impl Calibration {
    /// Sends the canary; where one sample does not tell, [`Calibration::go_on`] takes another later.
    pub(super) fn start(learnt: Array<MapData, u64>) -> Self {
        let mut calibration = Self { learnt, first: None, limits: Vec::new() };
        let Some(sample) = calibration.canary() else {
            calibration.limits.push(
                "not known: how long connections were silent (the canary was not seen by signal_generate)".to_owned(),
            );
            return calibration;
        };
        if sample.at_ns.abs_diff(clock::boot_now().0) > SAME_CLOCK_NS {
            calibration.limits.push(
                "times differ from the kernel's: gracetrace runs in a time namespace; run it in the host's".to_owned(),
            );
        }
        if calibration.host_netns().is_none() {
            calibration.limits.push(
                "not known: the pod of a connection by its network namespace (the host's own could not be told)"
                    .to_owned(),
            );
        }
        match rate_of_one(sample) {
            Some(rate) => calibration.finish(rate),
            None => calibration.first = Some((sample, Instant::now())),
        }
        calibration
    }

    /// Inode number of the node's own network namespace.
    pub(super) fn host_netns(&self) -> Option<u32> {
        let learnt = self.learnt.get(&learnt::HOST_NETNS, 0).unwrap_or(0);
        u32::try_from(learnt).ok().filter(|inum| *inum != 0)
    }

    /// What is not known.
    pub(super) fn limits(&self) -> Vec<String> {
        self.limits.clone()
    }

    /// Takes the second sample, if one is wanted and enough time has passed.
    pub(super) fn go_on(&mut self) {
        if let Some((first, taken)) = self.first
            && taken.elapsed() >= SURE_BETWEEN
        {
            match self.canary().and_then(|second| rate_of_two(first, second)) {
                Some(rate) => self.finish(rate),
                None => self.first = None,
            }
        }
    }

    fn finish(&mut self, rate: u32) {
        tracing::debug!(rate, "kernel ticks a second");
        if let Err(error) = self.learnt.set(learnt::HZ, u64::from(rate), 0) {
            tracing::debug!(%error, "cannot tell the probes the tick rate");
        }
        self.first = None;
    }

    fn canary(&self) -> Option<Sample> {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::URG).ok()?;
        let slot = |index| self.learnt.get(&index, 0).ok();
        let sample = Sample { jiffies: slot(learnt::JIFFIES)?, at_ns: slot(learnt::AT_NS)? };
        (sample.at_ns != 0).then_some(sample)
    }
}

/// By where `jiffies_64` began.
fn rate_of_one(sample: Sample) -> Option<u32> {
    rate_since_boot(sample.jiffies, sample.at_ns.checked_add_signed(clock::monotonic_offset_ns())?)
}

fn rate_since_boot(jiffies: u64, monotonic_ns: u64) -> Option<u32> {
    let seconds = seconds(monotonic_ns) - FIRST_OVERFLOW_S;
    let ticks = jiffies.wrapping_sub(FIRST_OVERFLOW).cast_signed();
    if seconds.abs() < SURE_AFTER_S { None } else { nearest(count(ticks) / seconds) }
}

fn rate_of_two(first: Sample, second: Sample) -> Option<u32> {
    let ticks = second.jiffies.checked_sub(first.jiffies)?.cast_signed();
    nearest(count(ticks) / seconds(second.at_ns.checked_sub(first.at_ns)?))
}

fn nearest(measured: f64) -> Option<u32> {
    let distance = |rate: u32| (measured / f64::from(rate) - 1.0).abs();
    RATES.into_iter().min_by(|a, b| distance(*a).total_cmp(&distance(*b))).filter(|rate| distance(*rate) < TOLERANCE)
}

#[expect(clippy::cast_precision_loss, reason = "a rate to within some percent is wanted")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a rate to within some percent is wanted")]
fn count(ticks: i64) -> f64 {
    ticks as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `jiffies_64` after so long, with the first tick late by 0.4 s.
    fn jiffies(rate: u32, uptime_s: f64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and above zero")]
        let ticks = ((uptime_s - 0.4) * f64::from(rate)) as u64;
        FIRST_OVERFLOW - 300 * u64::from(rate) + ticks
    }

    fn ns(seconds: f64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and above zero")]
        let ns = (seconds * 1e9) as u64;
        ns
    }

    #[test]
    fn one_sample_tells_the_rate_well_before_and_after_the_overflow() {
        for rate in [100, 250, 300, 1000] {
            for uptime in [1.0, 10.0, 239.0, 361.0, 1e4, 1e8] {
                let found = rate_since_boot(jiffies(rate, uptime), ns(uptime));
                assert_eq!(found, Some(rate), "{rate} Hz after {uptime} s");
            }
            assert_eq!(rate_since_boot(jiffies(rate, 301.0), ns(301.0)), None);
        }
    }

    #[test]
    fn two_samples_tell_it_always() {
        for rate in [100, 250, 300, 1000] {
            let at = |uptime| Sample { jiffies: jiffies(rate, uptime), at_ns: ns(uptime) };
            assert_eq!(rate_of_two(at(299.7), at(300.8)), Some(rate));
        }
        let standing = Sample { jiffies: 5, at_ns: 5 };
        assert_eq!(rate_of_two(standing, standing), None);
    }

    #[test]
    fn a_rate_that_no_kernel_has_is_none() {
        assert_eq!(nearest(500.0), None);
        assert_eq!(nearest(f64::NAN), None);
        assert_eq!(nearest(0.0), None);
    }
}
