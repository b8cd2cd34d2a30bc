//! Redis and `PostgreSQL`.

use crate::image;
use crate::load::{POSTGRES_BUSY, POSTGRES_IDLE, REDIS_BLOCKED, REDIS_IDLE, REDIS_LOOPING};
use crate::play::Answer::{CutOff, Whole};
use crate::play::{Case, Expected};
use gracetrace_tests::client::End::Eof;
use gracetrace_tests::counts::Counts;

const NO: Counts = Counts::NONE;

/// Redis saves and leaves.
pub(crate) const REDIS: Case = Case {
    name: "redis",
    image: image::REDIS,
    grace_s: 10,
    ready: REDIS_IDLE,
    clients: &[(REDIS_IDLE, Eof, Whole), (REDIS_BLOCKED, Eof, CutOff)],
    expected: Expected {
        init_comm: "redis-server",
        outcome: "Graceful",
        stop: ["SIGTERM", "Delivered", "Handler"],
        exit: Ok(0),
        took_ms: (0.0, 2000.0),
        counts: Counts { open_at_stop: 2, closed_at_exit: 2, in_flight: 1, ..NO },
        findings: &["requests-in-flight-at-exit"],
        killed_along: (0, 0),
        more: |_| {},
    },
};

/// The next request follows the answer within a tick of the kernel's clock; it is in flight all the same. (That it came last
/// is in the kernel: `rcv_nxt - snd_wl1` is its length, and 0 where the answer came last and was acknowledged.)
pub(crate) const REDIS_LOOPS: Case = Case {
    name: "redis-loops",
    clients: &[(REDIS_LOOPING, Eof, CutOff); 12],
    expected: Expected {
        counts: Counts { open_at_stop: 12, closed_at_exit: 12, in_flight: 12, ..NO },
        ..REDIS.expected
    },
    ..REDIS
};

/// SIGTERM is `PostgreSQL`'s smart shutdown: it waits for every session to end.
pub(crate) const POSTGRES_TERM: Case = Case {
    name: "postgres-term",
    image: image::POSTGRES,
    grace_s: 4,
    ready: POSTGRES_IDLE,
    clients: &[(POSTGRES_IDLE, Eof, Whole), (POSTGRES_BUSY, Eof, CutOff)],
    expected: Expected {
        init_comm: "postgres",
        outcome: "ForceKilled",
        stop: ["SIGTERM", "Delivered", "Handler"],
        exit: Err("SIGKILL"),
        took_ms: (4000.0, 5000.0),
        counts: Counts { open_at_stop: 2, dropped_by_kill: 2, in_flight: 1, ..NO },
        findings: &["grace-period-exceeded", "connections-dropped"],
        // PostgreSQL's processes see their postmaster gone, and some or all leave before the kernel gets at them
        killed_along: (0, 7),
        more: |_| {},
    },
};

/// SIGINT is its fast shutdown: sessions are told and ended.
pub(crate) const POSTGRES_INT: Case = Case {
    name: "postgres-int",
    image: image::POSTGRES_INT,
    grace_s: 10,
    expected: Expected {
        outcome: "Graceful",
        stop: ["SIGINT", "Delivered", "Handler"],
        exit: Ok(0),
        took_ms: (0.0, 3000.0),
        counts: Counts { open_at_stop: 2, closed_at_exit: 2, ..NO },
        killed_along: (0, 0),
        findings: &["stop-signal-not-sigterm"],
        ..POSTGRES_TERM.expected
    },
    ..POSTGRES_TERM
};
