//! Children of the victim: workers that share its listener, a companion beside it.

use crate::options::Options;
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

/// Starts all of them and waits until their handlers stand.
pub(crate) fn start(options: &Options, listener: Option<&TcpListener>) -> Vec<Child> {
    let drains = || ["slow-drain", "60000"].map(str::to_owned).to_vec();
    let words = options.worker.clone().unwrap_or_else(drains);
    if let (Some(listener), true) = (listener, words.iter().any(|word| word.contains("{fd}"))) {
        // the children inherit it
        rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).expect("a descriptor to inherit");
    }
    let count = options.workers.max(u64::from(options.worker.is_some()));
    let mut workers: Vec<Child> = (0..count).map(|_| one(&words, options, listener)).collect();
    for worker in &mut workers {
        let announced = BufReader::new(worker.stdout.take().expect("a pipe")).lines().next();
        assert!(announced.is_some(), "a worker announces itself");
    }
    workers
}

fn one(words: &[String], options: &Options, listener: Option<&TcpListener>) -> Child {
    let port = listener.and_then(|listener| listener.local_addr().ok()).map_or(0, |addr| addr.port());
    let fd = listener.map_or(-1, AsRawFd::as_raw_fd);
    let stamps = format!("{}.worker", options.stamps.path());
    let filled = words.iter().map(|word| {
        word.replace("{port}", &port.to_string()).replace("{fd}", &fd.to_string()).replace("{stamps}", &stamps)
    });
    Command::new(std::env::current_exe().expect("its own path"))
        .arg("--announce")
        .args(filled)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker starts")
}

/// Passes the stop signal on, or sends another one instead.
pub(crate) fn forward(workers: &mut [Child], signal: Signal) {
    for worker in workers {
        let pid = i32::try_from(worker.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        let _gone = rustix::process::kill_process(pid, signal);
    }
}
