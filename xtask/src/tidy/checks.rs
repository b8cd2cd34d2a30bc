//! The checks of `tidy`, each a function from a file to what is wrong in it.
//!
//! What must not stand in a source is put together from pieces here, or this file would find itself.

use super::code::code_of;
use std::path::Path;

/// A text file of the repository.
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    text: String,
    /// Of a Rust file: the text without comments and literals.
    code: String,
}

/// What is wrong in a line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) line: usize,
    pub(super) what: String,
}

type Check = fn(&Source) -> Vec<Finding>;

/// All of them.
pub(super) const CHECKS: [Check; 7] =
    [pure_engine, file_length, boring_main, rare_unsafe, module_comment, machine_paths, unfinished];

/// Files that hold one table and are read from top to bottom.
const LONG_FILES: [&str; 3] = ["tracer-ebpf/src/lib.rs", "tracer/src/input.rs", "tracer/src/report.rs"];

/// Where `unsafe` is needed at all. The kernel side reads kernel memory; the rest says why in place.
const UNSAFE_PLACES: [&str; 9] = [
    "tracer-ebpf/src/",
    "tracer/src/cmd/run/spawn.rs",
    "tracer/src/memory.rs",
    "tracer/src/source/probe/mapping.rs",
    "tracer/src/source/probe/ring_map.rs",
    "tests/src/bin/victim/sys.rs",
    "tests/src/bin/load/sys.rs",
    "tests/src/bin/crowd/sys.rs",
    "tests/src/bin/floor/sys.rs",
];

/// What decides by itself what time it is, waits, or orders by chance.
const IMPURE: [&str; 8] = ["tokio", "aya", "kube", "tonic", "Instant", "SystemTime", "HashMap", "HashSet"];
const IMPURE_STD: [&str; 9] =
    ["fs", "env", "process", "thread", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener"];

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let code = if is_rust(&path) { code_of(&text) } else { String::new() };
        Self { path, text, code }
    }

    /// Code of the tests, which may be longer and do what it likes.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The code above the tests module.
    fn code_above_tests(&self) -> &str {
        let end = self.code.find("\n#[cfg(test)]\nmod ").map_or(self.code.len(), |at| at + 1);
        &self.code[..end]
    }
}

/// Invariant 1 of the architecture: the engine does no IO, reads no clock, iterates nothing unordered.
fn pure_engine(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("tracer/src/engine") || source.is_test() {
        return Vec::new();
    }
    let code = source.code_above_tests();
    let plain = IMPURE.iter().flat_map(|name| words(code, name).map(move |at| (at, *name)));
    let mut found: Vec<(usize, &str)> = plain.collect();
    for (at, _) in code.match_indices("std::") {
        let path = &code[at..];
        let path = &path[..path.find([';', '(', ')', '<', '>', '=']).unwrap_or(path.len())];
        let first_of_std = |name: &&&str| words(path, name).next().is_some();
        found.extend(IMPURE_STD.iter().filter(first_of_std).map(|name| (at, *name)));
    }
    found.into_iter().map(|(at, name)| finding(code, at, format!("the engine must not name {name}"))).collect()
}

/// A file is read in one sitting.
fn file_length(source: &Source) -> Vec<Finding> {
    if !is_rust(&source.path) {
        return Vec::new();
    }
    let may_be_long = source.is_test() || LONG_FILES.contains(&source.path.as_str());
    let limit = if may_be_long { 600 } else { 400 };
    too_long(source.code_above_tests(), limit)
}

/// `main.rs` parses, dispatches, exits; on the kernel side it is the list of hooks.
fn boring_main(source: &Source) -> Vec<Finding> {
    let is_main = source.path.ends_with("/main.rs") && !source.path.starts_with("tracer-ebpf/") && !source.is_test();
    if is_main { too_long(source.code_above_tests(), 60) } else { Vec::new() }
}

/// Invariant 12: `unsafe` lives in a few tiny files.
fn rare_unsafe(source: &Source) -> Vec<Finding> {
    if UNSAFE_PLACES.iter().any(|place| source.path.starts_with(place)) {
        return Vec::new();
    }
    let what = "unsafe code outside the files that tidy lists for it";
    words(&source.code, "unsafe").map(|at| finding(&source.code, at, what.to_owned())).collect()
}

/// Every module opens with what it is and what it must not do.
fn module_comment(source: &Source) -> Vec<Finding> {
    if !is_rust(&source.path) || source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![Finding { line: 1, what: "a module opens with `//!`: what it is, what it must not do".to_owned() }]
}

/// No path of the machine that somebody happened to work on.
fn machine_paths(source: &Source) -> Vec<Finding> {
    let text = &source.text;
    let mut findings = Vec::new();
    for folder in ["root", "work", "farm", "home"].map(|name| format!("/{name}/")) {
        for (at, _) in text.match_indices(&folder) {
            let goes_on = |c: char| c.is_alphanumeric() || "_-.}>~*/".contains(c);
            if !text[..at].ends_with(goes_on) {
                findings.push(finding(text, at, format!("a path of one machine: {folder}")));
            }
        }
    }
    findings
}

/// What is committed is finished.
fn unfinished(source: &Source) -> Vec<Finding> {
    let marks = [concat!("FIX", "ME"), concat!("XX", "X:")].into_iter();
    let in_text = marks
        .flat_map(|mark| source.text.match_indices(mark))
        .map(|(at, mark)| finding(&source.text, at, mark.to_owned()));
    let in_code = [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!(")].into_iter();
    let in_code = in_code
        .flat_map(|mark| source.code.match_indices(mark))
        .map(|(at, mark)| finding(&source.code, at, mark.to_owned()));
    in_text.chain(in_code).map(|Finding { line, what }| Finding { line, what: format!("unfinished: {what}") }).collect()
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

fn too_long(text: &str, limit: usize) -> Vec<Finding> {
    let lines = text.lines().count();
    let what = || format!("{lines} lines, {limit} are the most");
    (lines > limit).then(|| Finding { line: lines, what: what() }).into_iter().collect()
}

fn finding(text: &str, at: usize, what: String) -> Finding {
    Finding { line: text[..at].matches('\n').count() + 1, what }
}

/// Where the name stands as a whole word.
fn words<'text>(text: &'text str, name: &'text str) -> impl Iterator<Item = usize> + 'text {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .filter(move |(at, _)| {
            !text[..*at].ends_with(part_of_word) && !text[at + name.len()..].starts_with(part_of_word)
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::{
        Check, Source, boring_main, file_length, machine_paths, module_comment, pure_engine, rare_unsafe, unfinished,
    };

    /// The lines in which the check finds something.
    fn check(check: Check, path: &str, text: &str, lines: &[usize]) {
        let source = Source::new(path.to_owned(), text.to_owned());
        let mut found: Vec<usize> = check(&source).into_iter().map(|finding| finding.line).collect();
        found.sort_unstable();
        assert_eq!(found, lines, "{path}: {text}");
    }

    #[test]
    fn the_engine_is_pure() {
        let engine = "tracer/src/engine/phase.rs";
        check(pure_engine, engine, "use std::net::SocketAddr;\nuse std::collections::BTreeMap;\n", &[]);
        check(pure_engine, engine, "// tokio, std::fs\nlet s = \"HashMap\";\nstruct Instantly;\n", &[]);
        check(pure_engine, engine, "use std::fmt;\nfn process(thread: u32) {}\n", &[]);
        check(pure_engine, engine, "use std::{\n    fmt,\n    fs,\n};\n", &[1]);
        check(pure_engine, engine, "a();\nstd::thread::sleep(d);\nlet t = Instant::now();\n", &[2, 3]);
        check(pure_engine, engine, "use std::collections::HashMap;\n", &[1]);
        check(pure_engine, engine, "use std::net::{IpAddr, TcpStream};\n", &[1]);
        check(pure_engine, engine, "a();\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", &[]);
        check(pure_engine, "tracer/src/log/write.rs", "use std::fs;\n", &[]);
    }

    #[test]
    fn files_are_short() {
        let lines = |count: usize| "a();\n".repeat(count);
        check(file_length, "tracer/src/text.rs", &lines(400), &[]);
        check(file_length, "tracer/src/text.rs", &lines(401), &[401]);
        check(
            file_length,
            "tracer/src/text.rs",
            &(lines(400) + "#[cfg(test)]\nmod tests {\n" + &lines(400) + "}\n"),
            &[],
        );
        check(file_length, "tracer/src/report.rs", &lines(600), &[]);
        check(file_length, "tracer/src/report.rs", &lines(601), &[601]);
        check(file_length, "README.md", &lines(1000), &[]);
        check(boring_main, "tracer/src/main.rs", &lines(60), &[]);
        check(boring_main, "tracer/src/main.rs", &lines(61), &[61]);
        check(boring_main, "tracer-ebpf/src/main.rs", &lines(61), &[]);
    }

    #[test]
    fn unsafe_is_rare() {
        let text = "//! not unsafe\n#![deny(unsafe_op_in_unsafe_fn)]\nunsafe { f() }\n";
        check(rare_unsafe, "tracer/src/text.rs", text, &[3]);
        check(rare_unsafe, "tracer-ebpf/src/kernel.rs", text, &[]);
    }

    #[test]
    fn modules_say_what_they_are() {
        check(module_comment, "xtask/src/demo.rs", "//! The demo.\nfn f() {}\n", &[]);
        check(module_comment, "xtask/src/demo.rs", "fn f() {}\n", &[1]);
        check(module_comment, "README.md", "# gracetrace\n", &[]);
    }

    #[test]
    fn no_path_of_one_machine() {
        let inside = format!("see /proc/1/{0}/etc and /sys/fs/{1}/x, {{pid}}/{0}/x\n", "root", "work");
        check(machine_paths, "README.md", &inside, &[]);
        check(machine_paths, "README.md", &format!("a\ncd /{}/me/gracetrace\n", "home"), &[2]);
        check(machine_paths, "a.rs", &format!("let p = \"/{}/.cargo\";\n", "root"), &[1]);
    }

    #[test]
    fn what_is_committed_is_finished() {
        let (later, left_out) = (concat!("to", "do!("), concat!("#[ig", "nore"));
        check(unfinished, "a.rs", &format!("// the {later}) macro, {left_out}]\nlet s = \"{later}\";\n"), &[]);
        check(unfinished, "a.rs", &format!("f();\n{later});\n{left_out} = \"slow\"]\n"), &[2, 3]);
        check(unfinished, "a.toml", &format!("# {}: later\n", concat!("FIX", "ME")), &[1]);
    }
}
