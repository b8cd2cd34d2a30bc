//! `gracetrace replay FILE`: a recorded event log in, the same reports out. The engine decides
//! everything, here as while tracing; this only hands it what the log has.

use super::{Exit, reports};
use crate::cli::ReplayArgs;
use crate::engine::Engine;
use crate::log::Reader;
use anyhow::Context;

/// Replays the log; what a broken one had before its first bad line is reported.
pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let named = || format!("cannot replay {}", args.file.display());
    let reader = Reader::open(&args.file).with_context(named)?;
    let session = reader.session().clone();
    let mut output = reports::to_stdout(&args.output, &session.scope, args.namespace.as_deref());
    let mut engine = Engine::new(session);
    for input in reader {
        engine.handle(&input.with_context(named)?);
        while let Some(report) = engine.poll() {
            output.report(&report)?;
        }
    }
    Ok(if output.matched() { Exit::Matched } else { Exit::Done })
}
