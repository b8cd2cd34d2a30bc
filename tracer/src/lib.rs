//! gracetrace says from the kernel what happened when Kubernetes stopped a pod.
//!
//! Everything the program may *know* is an [`input::Input`]; everything it *concludes* is a
//! [`report::Report`]; between the two stands [`engine::Engine`], which does no IO, reads no clock and
//! can be replayed. [`source`] is all contact with the world, [`sink`] all output, [`log`] the list of
//! inputs on disk, [`pipeline`] what joins them while tracing.

pub mod argv;
pub mod cli;
pub mod cmd;
pub mod engine;
pub mod input;
pub mod log;
pub mod memory;
pub mod pipeline;
pub mod report;
pub mod signal;
pub mod sink;
pub mod source;
pub mod text;
