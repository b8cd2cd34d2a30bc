//! Listening sockets of several kinds. All are non-blocking: several processes may wait for one.

use crate::{sys, usage};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, TcpListener};

/// As many as the kernel allows: no client is to wait for its SYN's retransmission.
const BACKLOG: i32 = 4096;

/// Listens as `--listen` says.
pub(crate) fn listen(spec: &str) -> TcpListener {
    let listener = match spec.split_once(':') {
        Some(("fd", number)) => adopt(number),
        Some(("mptcp", addr)) => bind(addr, Protocol::MPTCP, false),
        Some(("reuseport", addr)) => bind(addr, Protocol::TCP, true),
        _ => bind(spec, Protocol::TCP, false),
    };
    let listener = listener.unwrap_or_else(|error| usage(&format!("cannot listen on {spec}: {error}")));
    listener.set_nonblocking(true).unwrap_or_else(|error| usage(&format!("{spec}: {error}")));
    listener
}

fn bind(addr: &str, protocol: Protocol, reuse_port: bool) -> std::io::Result<TcpListener> {
    let addr: SocketAddr = addr.parse().map_err(std::io::Error::other)?;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(protocol))?;
    // as servers do; a port whose last connections are in TIME_WAIT is free again
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn adopt(number: &str) -> std::io::Result<TcpListener> {
    let number = number.parse().map_err(std::io::Error::other)?;
    Ok(TcpListener::from(sys::adopt(number)))
}
