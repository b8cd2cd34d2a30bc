//! A program that ends in a known way, chosen by its arguments, and writes down when.
//!
//! The same binary is the traced command of the kernel tier and PID 1, preStop hook, init and pause
//! of the containerd tier's pods. It must not know anything of gracetrace: it is what gracetrace
//! is tried on.
//!
//! ```text
//! victim [OPTION…] BEHAVIOUR [ARG…]
//!   --stamps FILE    appends `name nanoseconds-since-boot detail` lines: ready, handler, exit …
//!   --log            stamps also what each connection does: accepted, asked, answered, closed
//!   --listen ADDR    serves connections there, each as its client asks (`connection.rs`)
//!   --listen mptcp:ADDR | reuseport:ADDR | fd:N   the same with MPTCP, SO_REUSEPORT, an inherited socket
//!   --accept N       accepts no more than N connections; the others wait in the backlog
//!   --accept-for MS  goes on accepting that long after its stop signal
//!   --hold           keeps what it accepted open and never reads from it
//!   --user-timeout MS  gives what it accepts that TCP_USER_TIMEOUT
//!   --hand-to PATH   sends what it accepts to who listens on that unix socket, and keeps nothing of it
//!   --connect ADDR LINE  opens a connection, says LINE (nothing if empty) and holds it
//!   --worker ARG… ;  starts a child with these arguments and forwards its stop signal to it; in them `{port}` is
//!                    the listener's port, `{fd}` the listener, `{stamps}` a second file of stamps
//!   --workers N      that many of the child; without --worker, of one that drains for a minute
//!   --delay MS       eat-memory waits that long first (300 by default)
//!   --kill-workers   kills its children at its stop signal instead of passing that on
//!   --leave-leader   the first thread leaves, the server runs in another one
//!   --announce       writes a line to stdout once its handlers stand
//!
//!   graceful         SIGTERM: closes the listener, finishes the requests in flight, exits 0
//!   quit             the same on SIGQUIT
//!   overrun          SIGTERM: closes the listener and never gets done
//!   slow-drain MS    SIGTERM: like graceful, but exits MS after the signal
//!   keep-idle        SIGTERM: exits 0 at once, connections open
//!   fail CODE        SIGTERM: exits CODE at once
//!   crash-on-stop    SIGTERM: SIGSEGV
//!   eat-on-stop MIB  SIGTERM: takes that much memory
//!   ignores          no handler at all
//!   segv MS, abort MS, complete MS [CODE], sleep MS, eat-memory MIB
//!   knock ADDR COUNT MS [WORK]  a client: connects COUNT times, every MS; each gets one answer, after WORK ms, or is
//!                    refused
//!   init CMD…        blocks SIGTERM, waits in sigwait, forwards to CMD, reaps: like tini
//!   pause            the pod's sandbox: waits and reaps
//! ```

mod brief;
mod connection;
mod hand;
mod init;
mod knock;
mod listen;
mod options;
mod outbound;
mod serve;
mod stamps;
mod sys;
mod workers;

use options::{Options, number};
use serve::{OnStop, Server};
use std::time::Duration;

fn main() {
    let mut args = std::env::args().skip(1);
    let (options, behaviour) = Options::parse(&mut args);
    let mut number_arg = || number(args.next(), "a number after the behaviour");
    let ms = Duration::from_millis;
    let server = |signal, on_stop| {
        let serve = || Server { signal, on_stop }.run(&options);
        if options.leave_leader {
            sys::without_leader(serve, || options.stamps.now("leader-left", ""));
        } else {
            serve();
        }
    };
    match behaviour.as_str() {
        "graceful" => server(Some(libc::SIGTERM), OnStop::Drain),
        "quit" => server(Some(libc::SIGQUIT), OnStop::Drain),
        "overrun" => server(Some(libc::SIGTERM), OnStop::Hang),
        "slow-drain" => server(Some(libc::SIGTERM), OnStop::DrainFor(ms(number_arg()))),
        "keep-idle" => server(Some(libc::SIGTERM), OnStop::Exit(0)),
        "fail" => {
            let code = i32::try_from(number_arg()).unwrap_or(1);
            server(Some(libc::SIGTERM), OnStop::Exit(code));
        }
        "crash-on-stop" => server(Some(libc::SIGTERM), OnStop::Segv),
        "eat-on-stop" => {
            let mib = usize::try_from(number_arg()).unwrap_or(usize::MAX);
            server(Some(libc::SIGTERM), OnStop::Eat(mib));
        }
        "ignores" => server(None, OnStop::Hang),
        "segv" => brief::after(ms(number_arg()), &options, || sys::segv()),
        "abort" => brief::after(ms(number_arg()), &options, || std::process::abort()),
        "complete" => {
            let (after, code) = (ms(number_arg()), args.next().map_or(0, |code| number(Some(code), "an exit code")));
            let code = i32::try_from(code).unwrap_or(1);
            brief::after(after, &options, || std::process::exit(code));
        }
        "sleep" => brief::after(ms(number_arg()), &options, || std::process::exit(0)),
        "eat-memory" => brief::eat_memory(usize::try_from(number_arg()).unwrap_or(usize::MAX), &options),
        "knock" => {
            let addr = options::want(args.next(), "knock ADDR COUNT MS");
            let [count, every] = [0, 1].map(|_| number(args.next(), "knock ADDR COUNT MS"));
            let work = args.next().map_or(0, |work| number(Some(work), "milliseconds of work"));
            knock::knock(&addr, count, ms(every), work, &options.stamps);
        }
        "init" => init::run(&args.collect::<Vec<_>>(), &options),
        "pause" => init::pause(),
        other => usage(&format!("no behaviour is called {other:?}")),
    }
}

fn usage(problem: &str) -> ! {
    eprintln!("victim: {problem}");
    std::process::exit(2)
}
