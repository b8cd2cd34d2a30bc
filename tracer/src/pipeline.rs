//! Joins sources, log, engine and sinks while tracing.
