//! One card a container: preStop hook, stop signal and what became of it, kill, exit, processes.

use super::{View, facts, section};
use crate::report::Container;
use crate::sink::words::{connections, container as words, moment};
use maud::{Markup, html};

pub(super) fn draw(view: &View<'_>) -> Markup {
    let containers = &view.report.containers;
    let several = containers.len() > 1;
    let cards = html! {
        div.cards {
            @for container in containers {
                div.card {
                    h3 { bdi { (words::label(container)) } " " span.role { (words::role(container.role)) } }
                    (draw_one(container, several))
                }
            }
        }
    };
    let heading = if several { "Containers" } else { "Container" };
    html! { @if !containers.is_empty() { (section(view, "containers", heading, &cards)) } }
}

fn draw_one(container: &Container, several: bool) -> Markup {
    let text = |text: String| html! { (text) };
    let stop = container.stop.as_ref().map_or_else(|| "no stop signal was seen".to_owned(), words::stop);
    let restarts = container.restarts.filter(|restarts| *restarts > 0);
    let sockets = several.then(|| connections::sentence(&container.connections, std::slice::from_ref(container)));
    facts(&[
        ("Main process", Some(text(words::pid_1(container)))),
        ("Image", container.image.as_ref().map(|image| html! { code { (image) } })),
        ("Restarts", restarts.map(|restarts| html! { (restarts) " before this" })),
        ("preStop", container.pre_stop.as_ref().map(|hook| text(words::pre_stop(hook)))),
        ("Stop signal", Some(text(stop))),
        ("Listeners", container.listeners_closed_ms.map(|at| html! { "the last one closed at " (moment(at)) })),
        ("Kill", container.kill.as_ref().map(|kill| text(words::kill(kill)))),
        ("Exit", Some(text(words::exit(container)))),
        ("Processes", Some(text(words::processes(container)))),
        ("Sockets", sockets.map(text)),
    ])
}
