//! nginx and `HAProxy`.

use crate::image;
use crate::load::{ASKING, DOWNLOADING, KEPT_ALIVE, WAITING};
use crate::play::Answer::{CutOff, Whole};
use crate::play::{Case, Expected};
use gracetrace_tests::client::End::Eof;
use gracetrace_tests::counts::Counts;

const NO: Counts = Counts::NONE;

/// SIGQUIT is nginx's graceful shutdown.
pub(crate) const NGINX_QUIT: Case = Case {
    name: "nginx-quit",
    image: image::NGINX_QUIT,
    grace_s: 10,
    ready: ASKING,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING, Eof, Whole), (DOWNLOADING, Eof, Whole)],
    expected: Expected {
        init_comm: "nginx",
        outcome: "Graceful",
        stop: ["SIGQUIT", "Delivered", "Handler"],
        exit: Ok(0),
        took_ms: (3000.0, 6000.0),
        counts: Counts { open_at_stop: 4, closed_gracefully: 4, outbound: 1, ..NO },
        findings: &["stop-signal-not-sigterm"],
        killed_along: (0, 0),
        more: |_| {},
    },
};

/// SIGTERM is nginx's fast shutdown.
pub(crate) const NGINX_TERM: Case = Case {
    name: "nginx-term",
    image: image::NGINX,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING, Eof, CutOff), (DOWNLOADING, Eof, CutOff)],
    expected: Expected {
        stop: ["SIGTERM", "Delivered", "Handler"],
        took_ms: (0.0, 1000.0),
        // the waiting client's, and the proxy's own to the server behind, which is the same request; whether the
        // download was all said, the report may leave open
        counts: Counts { open_at_stop: 4, closed_at_exit: 4, outbound: 1, in_flight: 2, ..NO },
        findings: &["requests-in-flight-at-exit"],
        ..NGINX_QUIT.expected
    },
    ..NGINX_QUIT
};

/// SIGUSR1 is `HAProxy`'s soft stop.
pub(crate) const HAPROXY_USR1: Case = Case {
    name: "haproxy-usr1",
    image: image::HAPROXY_USR1,
    grace_s: 10,
    ready: ASKING,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING, Eof, Whole)],
    expected: Expected {
        init_comm: "haproxy",
        outcome: "Graceful",
        stop: ["SIGUSR1", "Delivered", "Handler"],
        exit: Ok(0),
        took_ms: (1000.0, 4000.0),
        counts: Counts { open_at_stop: 3, closed_gracefully: 3, outbound: 1, ..NO },
        findings: &["stop-signal-not-sigterm"],
        killed_along: (0, 0),
        more: |_| {},
    },
};

/// SIGTERM is its hard stop.
pub(crate) const HAPROXY_TERM: Case = Case {
    name: "haproxy-term",
    image: image::HAPROXY,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING, Eof, CutOff)],
    expected: Expected {
        stop: ["SIGTERM", "Delivered", "Handler"],
        took_ms: (0.0, 1000.0),
        // the worker lets SIGTERM end it; the request counts on both sides of the proxy
        counts: Counts { open_at_stop: 3, dropped_by_kill: 3, outbound: 1, in_flight: 2, ..NO },
        findings: &["connections-dropped"],
        ..HAPROXY_USR1.expected
    },
    ..HAPROXY_USR1
};

/// `CMD nginx -g 'daemon off;'` in a Dockerfile: PID 1 is a shell.
pub(crate) const NGINX_SHELL_FORM: Case = Case {
    name: "nginx-shell-form",
    image: image::NGINX_SHELL_FORM,
    grace_s: 3,
    clients: &[(KEPT_ALIVE, Eof, Whole), (WAITING, Eof, Whole), (DOWNLOADING, Eof, CutOff)],
    expected: Expected {
        init_comm: "sh",
        outcome: "ForceKilled",
        stop: ["SIGTERM", "Ignored", "Default"],
        exit: Err("SIGKILL"),
        took_ms: (3000.0, 4000.0),
        counts: Counts { open_at_stop: 4, dropped_by_kill: 3, closed_gracefully: 1, outbound: 1, ..NO },
        killed_along: (3, 3),
        findings: &["shell-does-not-forward", "stop-signal-ignored", "grace-period-exceeded", "connections-dropped"],
        ..NGINX_QUIT.expected
    },
    ..NGINX_QUIT
};

/// The same mistake in an entry point script, whose last line lacks its `exec`: PID 1 is called like the script.
pub(crate) const NGINX_SCRIPT: Case = Case {
    name: "nginx-script",
    image: image::NGINX_SCRIPT,
    expected: Expected { init_comm: "entrypoint.sh", ..NGINX_SHELL_FORM.expected },
    ..NGINX_SHELL_FORM
};
