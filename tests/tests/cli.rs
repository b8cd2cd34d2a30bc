//! The command line from outside: what is printed where, and with which exit code.

use gracetrace_tests::tracer::{Finished, Tracer, binary};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const FORMAT: &str = "gracetrace.dev/event-log/v1";
const SESSION: &str = r#"{"startedAt":1000000000,"wallOffsetNs":0,"node":null,"kernel":"6.12.0","tracerTgid":1,"defaultGraceMs":null,"scope":{"kind":"Node"},"maxConnections":10,"limits":[]}"#;

fn gracetrace(args: &[&str]) -> Finished {
    Tracer::start(args).and_then(Tracer::finish).expect("gracetrace runs and ends")
}

/// One line on stderr that says all of `words`, nothing on stdout, this exit code.
fn refuses(args: &[&str], code: i32, words: &[&str]) {
    let finished = gracetrace(args);
    one_line(&format!("{args:?}"), &finished, code, words);
}

fn one_line(what: &str, finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, code, "{what}: {finished:?}");
    assert_eq!(finished.stdout, "", "{what}");
    assert_eq!(finished.stderr.lines().count(), 1, "{what}: {}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{what}: no {word:?} in {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("panicked"), "{what}: {}", finished.stderr);
}

#[test]
fn help_says_what_it_said() {
    for command in ["", "run", "replay", "rules", "doctor", "schema"] {
        let args: Vec<_> = [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let help = gracetrace(&args);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{args:?}");
        insta::assert_snapshot!(
            format!("help-{}", if command.is_empty() { "gracetrace" } else { command }),
            help.stdout
        );
    }
}

#[test]
fn version_is_the_package_s() {
    let version = gracetrace(&["--version"]);
    assert_eq!((version.code, version.stdout.trim()), (0, concat!("gracetrace ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn usage_errors_exit_2() {
    for args in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["run"],
        &["run", "--stop-signal", "SIGNOTHING", "--", "true"],
        &["run", "--grace-period", "soon", "--", "true"],
        &["--pod", "web", "--timeout", "5 apples"],
        &["--pod", "web", "-o", "xml"],
        &["replay"],
        &["rules", "no-such-rule"],
        &["--fail-on", "errror"],
        &["--ring-buffer-size", "three"],
    ] {
        let finished = gracetrace(args);
        assert_eq!(finished.code, 2, "{args:?}: {finished:?}");
        assert_eq!(finished.stdout, "", "{args:?}");
        assert!(!finished.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn pod_names_that_cannot_exist_exit_2() {
    let long = "x".repeat(254);
    for name in ["", "Web", "web_1", "-web", "web/app", "../web", "we b", long.as_str()] {
        let finished = gracetrace(&["--pod", name]);
        assert_eq!(finished.code, 2, "{name:?}: {finished:?}");
        assert!(!finished.stderr.is_empty(), "{name:?}");
    }
}

#[test]
fn logs_that_cannot_be_read_exit_1() {
    refuses(&["replay", "/no/such/log.jsonl"], 1, &["/no/such/log.jsonl", "No such file"]);
    refuses(&["replay", "/"], 1, &["/"]);
}

/// A log with that text, in a folder that goes with the returned guard.
fn log(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, text).expect("a log");
    (folder, path.display().to_string())
}

#[test]
fn bad_logs_exit_1_with_the_line() {
    let head = format!("{{\"format\":\"{FORMAT}\",\"session\":{SESSION}}}\n");
    let tick = "{\"input\":\"Tick\",\"at\":2000000000}\n";
    let cases: &[(&str, String, &[&str])] = &[
        ("empty", String::new(), &["line 1"]),
        ("text", "hello\n".to_owned(), &["line 1"]),
        ("other version", head.replace("/v1", "/v999"), &["line 1", "v999"]),
        ("cut off", format!("{head}{tick}{}", &tick[..12]), &["line 3"]),
        ("damaged", format!("{head}{tick}not json\n{tick}"), &["line 3"]),
        ("unknown input", format!("{head}{{\"input\":\"Nonsense\"}}\n"), &["line 2", "Nonsense"]),
        ("binary", format!("{head}\u{0}\u{1}\n"), &["line 2"]),
        ("endless line", format!("{head}{}", "x".repeat(3 << 20)), &["line 2"]),
    ];
    for (what, text, words) in cases {
        let (_folder, path) = log(text);
        let finished = gracetrace(&["replay", &path]);
        one_line(what, &finished, 1, words);
    }
}

/// The exit code of the replay of a recorded log.
fn replayed(log: &str, fail_on: &str) -> i32 {
    let log = gracetrace_tests::recording::fixtures().join(log).with_extension("jsonl");
    let finished = gracetrace(&["replay", &log.display().to_string(), "--fail-on", fail_on]);
    assert!(!finished.stdout.is_empty() && finished.stderr.is_empty(), "the report comes out: {finished:?}");
    finished.code
}

#[test]
fn findings_that_were_named_exit_3() {
    for (log, fail_on, code) in [
        ("run-overruns", "error", 3),
        ("run-overruns", "warning", 3),
        ("run-overruns", "grace-period-exceeded", 3),
        ("run-overruns", "slow-exit,connections-dropped", 3),
        ("run-overruns", "slow-exit,oom-killed", 0),
        ("pod-prestop-fails", "warning", 3),
        ("pod-prestop-fails", "error", 0),
        ("run-stopsignal-quit", "info", 3),
        ("run-stopsignal-quit", "warning", 0),
        ("run-graceful", "info", 0),
    ] {
        assert_eq!(replayed(log, fail_on), code, "{log} --fail-on {fail_on}");
    }
}

#[test]
fn rules_that_are_none_are_told_with_those_near_them() {
    refuses(&["--fail-on", "error,slow-exti"], 2, &["slow-exti", "did you mean slow-exit?"]);
    refuses(&["rules", "nonsense"], 2, &["nonsense", "gracetrace rules"]);
}

#[test]
fn every_rule_is_listed() {
    let text = gracetrace(&["rules"]);
    let json = gracetrace(&["rules", "-o", "json"]);
    assert_eq!((text.code, json.code), (0, 0));
    let rules: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).expect("a list");
    assert!(rules.len() >= 20, "{}", rules.len());
    for rule in rules {
        for field in ["id", "severity", "fires", "means", "advice"] {
            assert!(rule[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {rule}");
        }
        let id = rule["id"].as_str().unwrap_or_default();
        assert!(text.stdout.contains(id), "{id}");
    }
}

#[test]
fn the_schema_is_one() {
    let schema = gracetrace(&["schema"]);
    assert_eq!(schema.code, 0, "{schema:?}");
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).expect("JSON");
    jsonschema::meta::validate(&schema).expect("a valid JSON Schema");
    let validator = jsonschema::validator_for(&schema).expect("a usable schema");
    assert!(!validator.is_valid(&serde_json::json!({"kind": "ShutdownReport"})), "it refuses what is no report");
}

/// `run` may have no grace period at all, and its variable is that of the other commands as well.
#[test]
fn what_one_command_may_be_told_by_a_variable_stops_no_other() {
    let told = Command::new(binary().expect("gracetrace")).arg("schema").env("GRACETRACE_GRACE_PERIOD", "0s").output();
    let told = told.expect("it runs");
    assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn a_closed_pipe_is_no_error() {
    for args in [&["schema"][..], &["--help"], &["doctor"]] {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(binary().expect("gracetrace"))
            .args(args)
            .stdout(Stdio::from(writer))
            .output()
            .expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {:?} {stderr}", output.status);
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}

/// A copy of the binary that everybody may run, and the way to run it as nobody (only root needs one).
fn as_nobody(args: &[&str]) -> Finished {
    let folder = tempfile::tempdir().expect("a folder");
    let copy: PathBuf = folder.path().join("gracetrace");
    std::fs::copy(binary().expect("gracetrace"), &copy).expect("a copy");
    for path in [folder.path(), &copy] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
    }
    let mut command = Command::new(copy);
    command.args(args).current_dir("/").stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    // another test's child holds the copy open for writing, from its fork until its exec
    let output = loop {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            output => break output.expect("it runs"),
        }
    };
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn without_privileges_tracing_says_so_in_one_line() {
    for args in [&["--pod", "web", "-n", "shop"][..], &["-o", "jsonl"], &["run", "--", "true"]] {
        one_line(&format!("{args:?}"), &as_nobody(args), 1, &[]);
    }
}

#[test]
fn without_privileges_the_rest_works() {
    assert_eq!(as_nobody(&["schema"]).code, 0);
    let (folder, path) = log(&format!("{{\"format\":\"{FORMAT}\",\"session\":{SESSION}}}\n"));
    for path in [folder.path(), path.as_ref()] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
    }
    let replayed = as_nobody(&["replay", &path]);
    assert_eq!((replayed.code, replayed.stdout.as_str()), (0, ""), "{replayed:?}");
}
