//! The software tier: what is really run in pods, unmodified, under load when the kubelet stops it.
//!
//! Needs root, what the containerd tier needs, and apt: the images are made of the distribution's own packages, which
//! are fetched and unpacked but never installed. The reports are kept for people in `target/software-reports`.

mod backend;
mod client;
mod databases;
mod image;
mod languages;
mod load;
mod play;
mod web;

use backend::Backend;
use gracetrace_tests::node::Node;
use gracetrace_tests::suite::{self, Scenario};
use play::{Case, World, play};
use std::path::Path;

macro_rules! scenarios {
    ($($case:path),+ $(,)?) => {
        vec![$({
            const CASE: &Case = &$case;
            Scenario { name: CASE.name, play: |world| play(world, CASE) }
        }),+]
    };
}

fn main() -> std::process::ExitCode {
    let scenarios: Vec<Scenario<World>> = scenarios![
        web::NGINX_QUIT,
        web::NGINX_TERM,
        web::NGINX_SHELL_FORM,
        web::NGINX_SCRIPT,
        web::HAPROXY_USR1,
        web::HAPROXY_TERM,
        databases::REDIS,
        databases::REDIS_LOOPS,
        databases::POSTGRES_TERM,
        databases::POSTGRES_INT,
        languages::PYTHON,
        languages::BUSYBOX,
        languages::NODE,
        languages::NODE_GRACEFUL,
        languages::NODE_UNUSED,
        languages::GUNICORN,
        languages::GUNICORN_BUSY,
        languages::GUNICORN_UNUSED,
    ];
    suite::run("software", &scenarios, world)
}

fn world() -> anyhow::Result<World> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target"));
    let node = Node::start(Path::new(env!("CARGO_BIN_EXE_victim")))?;
    let backend = Backend::start()?;
    image::import(&node, target, backend.address)?;
    Ok(World { node, backend, reports: target.join("software-reports") })
}
