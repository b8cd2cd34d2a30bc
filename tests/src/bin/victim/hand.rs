//! Connections that leave the process before it does: sent to another one over a unix socket.

use rustix::fd::AsFd;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// Sends `stream` to who listens at `path`; the caller closes its own.
pub(crate) fn over(path: &str, stream: &TcpStream) {
    let fail = |error: std::io::Error| -> ! { crate::usage(&format!("cannot hand over to {path}: {error}")) };
    let receiver = UnixStream::connect(path).unwrap_or_else(|error| fail(error));
    let descriptors = [stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "room for one descriptor");
    // a descriptor travels with a byte at least
    let sent = sendmsg(&receiver, &[IoSlice::new(b"!")], &mut ancillary, SendFlags::empty());
    sent.unwrap_or_else(|error| fail(error.into()));
}
