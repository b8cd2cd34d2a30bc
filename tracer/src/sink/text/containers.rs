//! One paragraph a container: preStop hook, stop signal and what became of it, kill, exit, processes.

use super::page::{Ink, Page};
use crate::report::Report;
use crate::sink::words::{connections, container as words, moment};

pub(super) fn draw(page: &mut Page, report: &Report) {
    for container in &report.containers {
        page.blank();
        let role = format!("  {}", words::role(container.role));
        page.line(&[(Ink::Plain, "  "), (Ink::Heading, &words::label(container)), (Ink::Plain, &role)]);
        page.field("  main", &words::pid_1(container));
        if let Some(image) = &container.image {
            page.field("  image", image);
        }
        if let Some(restarts) = container.restarts.filter(|restarts| *restarts > 0) {
            page.field("  restarts", &format!("{restarts} before this"));
        }
        if let Some(hook) = &container.pre_stop {
            page.field("  preStop", &words::pre_stop(hook));
        }
        page.field(
            "  stop",
            &container.stop.as_ref().map_or_else(|| "no stop signal was seen".to_owned(), words::stop),
        );
        if let Some(at) = container.listeners_closed_ms {
            page.field("  listeners", &format!("the last one closed at {}", moment(at)));
        }
        if let Some(killed) = &container.kill {
            page.field("  kill", &words::kill(killed));
        }
        page.field("  exit", &words::exit(container));
        page.field("  processes", &words::processes(container));
        if report.containers.len() > 1 {
            page.field("  sockets", &connections::sentence(&container.connections, std::slice::from_ref(container)));
        }
    }
}
