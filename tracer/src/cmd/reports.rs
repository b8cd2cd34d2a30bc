//! Which reports go to stdout, and how they are drawn there.

use super::console;
use crate::cli::{Format, OutputArgs};
use crate::input::TraceScope;
use crate::pipeline::Output;
use crate::report::{Report, Scope};
use crate::sink::Sink;
use crate::sink::html::Html;
use crate::sink::json::Json;
use crate::sink::jsonl::JsonLines;
use crate::sink::line::Line;
use crate::sink::mending::Mending;
use crate::sink::text::Text;
use std::io::{self, IsTerminal, Stdout};

/// A text report's width where stdout has none.
const WIDTH: usize = 80;
/// Narrower than this nothing can be drawn.
const NARROWEST: usize = 40;

/// What goes to stdout for this scope: the same whether it is traced now or replayed.
pub(super) fn to_stdout(args: &OutputArgs, scope: &TraceScope, namespace: Option<&str>) -> Output {
    let whole_pods = matches!(scope, TraceScope::Pod { .. });
    let namespace = namespace.map(str::to_owned);
    let wanted = move |report: &Report| {
        // --pod is about the pod; the end of one container of it is not yet its end
        let fits = !whole_pods || report.scope == Scope::Pod;
        let is_nameless = fits && namespace.is_some() && report.pod.namespace.is_none();
        if is_nameless {
            let uid = report.pod.uid.as_deref().unwrap_or("of unknown uid");
            tracing::warn!(
                "pod {uid} ended (or a container of it) before anybody could tell its namespace: not reported, as -n names one"
            );
        }
        fits && (namespace.is_none() || report.pod.namespace == namespace)
    };
    let fail_on = args.fail_on.clone();
    let matches = move |report: &Report| fail_on.iter().any(|which| which.matches(report));
    Output::new(sink(args.output, scope), wanted).watching_for(matches)
}

fn sink(format: Option<Format>, scope: &TraceScope) -> Box<dyn Sink> {
    let out = io::stdout();
    let terminal = out.is_terminal();
    let colour = console::colour(terminal);
    let width = width(&out);
    let out = Mending::new(out);
    match format.unwrap_or(if terminal { Format::Text } else { Format::Jsonl }) {
        Format::Json => Box::new(Json(out)),
        Format::Jsonl => Box::new(JsonLines(out)),
        Format::Html => Box::new(Html::new(out, matches!(scope, TraceScope::Node))),
        Format::Text => match scope {
            TraceScope::Node => Box::new(Line::new(out, colour)),
            TraceScope::Pod { .. } | TraceScope::Command { .. } => Box::new(Text::new(out, width, colour)),
        },
    }
}

/// How wide text may be there.
pub(super) fn width(out: &Stdout) -> usize {
    let columns = rustix::termios::tcgetwinsize(out).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH } else { columns.max(NARROWEST) }
}
