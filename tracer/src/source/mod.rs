//! All contact with the world: the kernel's probes, the cgroup tree, the container runtime, sockets, clocks.
//!
//! Each source turns what it finds into [`crate::input::Input`]s and concludes nothing.

pub mod cgroupfs;
pub mod clock;
pub mod probe;
pub mod runtime;
pub mod sockets;
