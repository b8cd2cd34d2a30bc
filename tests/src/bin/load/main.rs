//! The load that `cargo xtask bench` puts on the hooks. It knows nothing of tracers; what it measured it writes to a
//! file, a line `name operations nanoseconds` for each slice.

mod http;
mod kinds;
mod storm;
mod sys;

use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How the words of the command line were meant.
struct Options {
    results: Option<PathBuf>,
    millis: u64,
    /// In so many slices, each with a line of its own.
    slices: u32,
    cpu: usize,
    port: u16,
    count: u64,
    /// Begin only when SIGTERM has come.
    after_term: bool,
    /// Not as fast as it goes, but so that whoever reads along can keep up.
    paced: bool,
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let what = words.next().context("say what: suite, http, quit, storm or touch")?;
    let options = options(words)?;
    if options.after_term {
        sys::wait_for_term();
    }
    match what.as_str() {
        "suite" => suite(&options),
        "http" => {
            sys::pin(options.cpu)?;
            write(&options, &http::requests(options.port, slice(&options), options.slices)?)
        }
        "quit" => http::quit(options.port),
        "storm" => {
            storm::blow(options.count)?;
            write(&options, &format!("storm {} 0\n", options.count))?;
            // somebody looks at the tracer meanwhile
            std::thread::sleep(Duration::from_millis(options.millis));
            Ok(())
        }
        // the last act is to tell the time
        "touch" => write(&options, &format!("end 1 {}\n", sys::boot_ns())),
        other => bail!("no such load: {other}"),
    }
}

fn options(mut words: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options =
        Options { results: None, millis: 100, slices: 1, cpu: 0, port: 0, count: 0, after_term: false, paced: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--results" => options.results = Some(value()?.into()),
            "--millis" => options.millis = value()?.parse()?,
            "--slices" => options.slices = value()?.parse()?,
            "--cpu" => options.cpu = value()?.parse()?,
            "--port" => options.port = value()?.parse()?,
            "--count" => options.count = value()?.parse()?,
            "--after-term" => options.after_term = true,
            "--paced" => options.paced = true,
            other => bail!("no such option: {other}"),
        }
    }
    Ok(options)
}

/// Every kind of load, slice by slice, then a server until it is told to quit.
fn suite(options: &Options) -> anyhow::Result<()> {
    sys::pin(options.cpu)?;
    let server = http::listen()?;
    let pause = if options.paced { kinds::PAUSE } else { Duration::ZERO };
    let mut results = kinds::all(slice(options), options.slices, pause)?;
    writeln!(results, "port {} 0", server.local_addr()?.port())?;
    write(options, &results)?;
    http::serve(&server)
}

fn slice(options: &Options) -> Duration {
    Duration::from_millis(options.millis) / options.slices.max(1)
}

fn write(options: &Options, results: &str) -> anyhow::Result<()> {
    let path = options.results.as_ref().context("--results is missing")?;
    // whole or not at all: somebody waits for it
    let draft = path.with_extension("draft");
    fs::write(&draft, results)?;
    fs::rename(draft, path)?;
    Ok(())
}
