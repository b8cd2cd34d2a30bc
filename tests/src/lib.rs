//! What the tests share: a tracer to start, clients and clocks of their own, a node with pods.
//!
//! Nothing here may take a fact from gracetrace: whatever a report is compared with was observed by
//! the harness (the victims' stamps, the clients' sockets, the kernel's pidfds, the CRI's answers).

pub mod client;
pub mod clock;
pub mod command;
pub mod counts;
pub mod details;
pub mod ending;
pub mod facts;
pub mod node;
pub mod probe_maps;
pub mod recording;
pub mod stalls;
pub mod stamps;
pub mod storm;
pub mod suite;
pub mod tracer;
