//! Network namespaces of processes, and a socket opened inside one (`setns(2)`, namespaces(7)).
//!
//! Only a thread made for it ever enters a namespace, and it ends at once: nobody can be left behind
//! in a foreign one, and nothing keeps a pod's namespace alive but the socket, until it is closed.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Why no socket could be opened in a namespace.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// `setns` is for `CAP_SYS_ADMIN`.
    #[error("entering the pod's network namespace needs CAP_SYS_ADMIN")]
    NotAllowed,
    /// `setns` failed otherwise.
    #[error("the pod's network namespace cannot be entered: {0}")]
    Enter(Errno),
    /// No netlink socket.
    #[error("a netlink socket cannot be opened: {0}")]
    Socket(Errno),
    /// No thread.
    #[error("a thread that enters the pod's network namespace cannot be started: {0}")]
    Thread(io::Error),
}

/// A network namespace, kept while this lives.
#[derive(Debug)]
pub(super) struct Netns {
    link: File,
    /// Its inode number, by which the kernel's records name it.
    pub(super) inode: u32,
}

impl Netns {
    /// This process's.
    pub(super) fn own() -> io::Result<Self> {
        Self::open("/proc/self/ns/net")
    }

    /// That of a process; an error if it has ended (a zombie has none).
    pub(super) fn of_process(tgid: u32) -> io::Result<Self> {
        Self::open(&format!("/proc/{tgid}/ns/net"))
    }

    fn open(path: &str) -> io::Result<Self> {
        let link = File::open(path)?;
        let inode = u32::try_from(link.metadata()?.ino()).map_err(io::Error::other)?;
        Ok(Self { link, inode })
    }

    /// A socket for questions about the sockets of this namespace.
    pub(super) fn diag_inside(&self) -> Result<OwnedFd, OpenError> {
        let enter_and_open = || {
            move_into_link_name_space(self.link.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|errno| if errno == Errno::PERM { OpenError::NotAllowed } else { OpenError::Enter(errno) })?;
            diag()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("enter-netns".to_owned());
            let entered = thread.spawn_scoped(scope, enter_and_open).map_err(OpenError::Thread)?;
            entered.join().unwrap_or_else(|_| Err(OpenError::Thread(io::Error::other("it panicked"))))
        })
    }
}

/// A socket for questions about the sockets of the calling thread's namespace.
pub(super) fn diag() -> Result<OwnedFd, OpenError> {
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))
        .map_err(OpenError::Socket)
}
