//! Servers of languages' own libraries, and busybox's.

use crate::image;
use crate::load::{ASKING, KEPT_ALIVE, NOT_READING, UNUSED, WAITING, WAITING_LONG};
use crate::play::Answer::{CutOff, Whole};
use crate::play::{Case, Expected};
use gracetrace_tests::client::End::{Eof, Reset, Unwatched};
use gracetrace_tests::counts::Counts;

const NO: Counts = Counts::NONE;

/// `python3 -m http.server` has no handler for SIGTERM.
pub(crate) const PYTHON: Case = Case {
    name: "python-http-server",
    image: image::PYTHON,
    grace_s: 3,
    ready: ASKING,
    clients: &[(UNUSED, Eof, Whole), (NOT_READING, Unwatched, CutOff)],
    expected: Expected {
        init_comm: "python3",
        outcome: "ForceKilled",
        stop: ["SIGTERM", "Ignored", "Default"],
        exit: Err("SIGKILL"),
        took_ms: (3000.0, 4000.0),
        counts: Counts { open_at_stop: 2, dropped_by_kill: 2, in_flight: 1, ..NO },
        findings: &["stop-signal-ignored", "grace-period-exceeded", "connections-dropped"],
        killed_along: (0, 0),
        more: |_| {},
    },
};

/// busybox httpd has none either; each connection has a process of its own.
pub(crate) const BUSYBOX: Case = Case {
    name: "busybox-httpd",
    image: image::BUSYBOX,
    expected: Expected { killed_along: (2, 2), init_comm: "busybox", ..PYTHON.expected },
    ..PYTHON
};

/// A program for Node without a handler: Node has one of its own, which restores the terminal and raises the signal again
/// with its default action. The kernel does not let that end PID 1, and the program never hears of it.
pub(crate) const NODE: Case = Case {
    name: "node",
    image: image::NODE,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING_LONG, Eof, CutOff)],
    expected: Expected { init_comm: "node", stop: ["SIGTERM", "Delivered", "Handler"], ..PYTHON.expected },
    ..PYTHON
};

/// `server.close()` answers what is in flight, and waits for connections that are kept alive.
pub(crate) const NODE_GRACEFUL: Case = Case {
    name: "node-graceful",
    image: image::NODE_GRACEFUL,
    grace_s: 10,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING, Eof, Whole)],
    expected: Expected {
        outcome: "Graceful",
        stop: ["SIGTERM", "Delivered", "Handler"],
        exit: Ok(0),
        took_ms: (1000.0, 8000.0),
        counts: Counts { open_at_stop: 2, closed_gracefully: 2, ..NO },
        findings: &[],
        ..NODE.expected
    },
    ..NODE
};

/// `server.close()` waits for connections on which nothing was ever asked, too, and far longer.
pub(crate) const NODE_UNUSED: Case = Case {
    name: "node-unused",
    image: image::NODE_GRACEFUL,
    grace_s: 4,
    clients: &[(UNUSED, Eof, Whole)],
    expected: Expected {
        stop: ["SIGTERM", "Delivered", "Handler"],
        took_ms: (4000.0, 5000.0),
        counts: Counts { open_at_stop: 1, dropped_by_kill: 1, ..NO },
        findings: &["grace-period-exceeded", "connections-dropped"],
        ..NODE.expected
    },
    ..NODE
};

/// The arbiter tells its workers, and each finishes its request.
pub(crate) const GUNICORN: Case = Case {
    name: "gunicorn",
    image: image::GUNICORN,
    grace_s: 10,
    ready: ASKING,
    clients: &[(WAITING, Eof, Whole), (WAITING, Eof, Whole)],
    expected: Expected {
        init_comm: "gunicorn",
        outcome: "Graceful",
        stop: ["SIGTERM", "Delivered", "Handler"],
        exit: Ok(0),
        took_ms: (1000.0, 4000.0),
        counts: Counts { open_at_stop: 2, closed_gracefully: 2, ..NO },
        findings: &[],
        killed_along: (0, 0),
        more: |_| {},
    },
};

/// Two workers and three requests: one waits in the backlog when the listener closes.
pub(crate) const GUNICORN_BUSY: Case = Case {
    name: "gunicorn-busy",
    clients: &[(WAITING, Eof, Whole), (WAITING, Eof, Whole), (WAITING, Reset, CutOff)],
    expected: Expected {
        counts: Counts { open_at_stop: 3, closed_gracefully: 2, refused_in_backlog: 1, reset: 1, ..NO },
        // a client was connected, asked and was reset: the report may not have nothing to say about it
        findings: &["connections-refused"],
        ..GUNICORN.expected
    },
    ..GUNICORN
};

/// A connection on which nothing was asked yet holds a synchronous worker, which cannot look at anything else.
pub(crate) const GUNICORN_UNUSED: Case = Case {
    name: "gunicorn-unused",
    grace_s: 4,
    clients: &[(UNUSED, Eof, Whole)],
    expected: Expected {
        outcome: "ForceKilled",
        exit: Err("SIGKILL"),
        took_ms: (4000.0, 5000.0),
        counts: Counts { open_at_stop: 1, dropped_by_kill: 1, ..NO },
        killed_along: (1, 1),
        findings: &["grace-period-exceeded", "connections-dropped"],
        ..GUNICORN.expected
    },
    ..GUNICORN
};
