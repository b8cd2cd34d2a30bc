//! PID 1 that blocks its stop signal and fetches it with `sigwait`, as tini, dumb-init and s6 do.

use crate::options::Options;
use crate::sys;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::process::Command;

/// Starts `command`, forwards SIGTERM to it, reaps, and leaves with its exit value.
pub(crate) fn run(command: &[String], Options { stamps, nested, .. }: &Options) {
    let blocked = sys::block(&[libc::SIGTERM, libc::SIGCHLD]);
    let Some((program, args)) = command.split_first() else { crate::usage("init needs a command") };
    if *nested {
        sys::nest_children();
    }
    let mut child = Command::new(program);
    sys::unblock_in_child(child.args(args));
    let child = match child.spawn() {
        Ok(child) => i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid"),
        Err(error) => crate::usage(&format!("cannot start {program}: {error}")),
    };
    loop {
        let signal = sys::wait_for(&blocked);
        if signal == libc::SIGTERM {
            stamps.now("fetched", "");
            // a child that is gone is reaped below
            let _gone = kill_process(child, Signal::TERM);
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == child {
                stamps.now("exit", "");
                std::process::exit(status.exit_status().unwrap_or(1));
            }
        }
    }
}

/// The sandbox: nothing but waiting and reaping.
pub(crate) fn pause() {
    let blocked = sys::block(&[libc::SIGTERM, libc::SIGINT, libc::SIGCHLD]);
    while sys::wait_for(&blocked) == libc::SIGCHLD {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}
