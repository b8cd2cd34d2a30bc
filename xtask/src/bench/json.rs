//! The same for machines: every value of every round, and the bars.

use super::bars::{Bar, Verdict};
use super::stats::Store;

/// One object: `void` (reasons, empty if the run counts), `measured` (who → what → values), `bars`.
pub(super) fn document(store: &Store, bars: &[Bar], void: &[String]) -> String {
    let measured = store.all().map(|(who, what, values)| {
        let values = values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(",");
        format!("{{\"who\":{},\"what\":{},\"values\":[{values}]}}", quoted(who), quoted(what))
    });
    let judged = bars.iter().map(|bar| {
        let verdict = match bar.verdict() {
            _ if !void.is_empty() => "void",
            Verdict::Held => "held",
            Verdict::Missed => "missed",
            Verdict::NotMeasured => "open",
        };
        let (asks, evidence) = (quoted(bar.asks), quoted(&bar.evidence()));
        format!("{{\"bar\":\"{}\",\"verdict\":\"{verdict}\",\"asks\":{asks},\"evidence\":{evidence}}}", bar.name)
    });
    let void = void.iter().map(|reason| quoted(reason)).collect::<Vec<_>>().join(",");
    let (measured, judged) = (measured.collect::<Vec<_>>().join(",\n"), judged.collect::<Vec<_>>().join(",\n"));
    format!("{{\"void\":[{void}],\n\"measured\":[\n{measured}],\n\"bars\":[\n{judged}]}}\n")
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::{Store, document, quoted};

    #[test]
    fn text_is_quoted() {
        assert_eq!(quoted("a \"b\" \\ c\n"), "\"a \\\"b\\\" \\\\ c \"");
        let mut store = Store::default();
        store.add("bare", "kill", 1.5);
        assert!(document(&store, &[], &[]).contains("{\"who\":\"bare\",\"what\":\"kill\",\"values\":[1.500]}"));
    }
}
