//! Facts from what the kubelet and the runtimes write.

use super::*;
use k8s_cri::v1::{
    ContainerMetadata, ImageSpec as CriImage, LinuxPodSandboxStatus, Namespace, NamespaceOption, PodSandboxMetadata,
};
use proptest::prelude::*;

const AT: BootNs = BootNs(9);

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn argv(arguments: &[&str]) -> PreStop {
    PreStop::Exec { argv: Argv::from_arguments(arguments) }
}

#[test]
fn pre_stop_handlers() {
    let ports = r#"[{"containerPort":9},{"name":"http","hostPort":1,"containerPort":8080,"protocol":"TCP"}]"#;
    let http = |port| Some(PreStop::HttpGet { port });
    for (handler, expected) in [
        (r#"{"exec":{"command":["sh","-c","sleep 5"]}}"#, Some(argv(&["sh", "-c", "sleep 5"]))),
        (r#"{"exec":{}}"#, Some(argv(&[]))),
        (r#"{"httpGet":{"path":"/stop","port":8081,"scheme":"HTTP"}}"#, http(Some(8081))),
        (r#"{"httpGet":{"path":"/stop","port":"http"}}"#, http(Some(8080))),
        (r#"{"httpGet":{"port":"nope"}}"#, http(None)),
        (r#"{"httpGet":{}}"#, http(None)),
        (r#"{"sleep":{"seconds":7}}"#, Some(PreStop::Sleep { ms: 7000 })),
        (r#"{"sleep":{"seconds":-7}}"#, None),
        (r#"{"tcpSocket":{"port":1}}"#, None),
        ("{}", None),
        ("", None),
        ("[1]", None),
        ("null", None),
    ] {
        assert_eq!(pre_stop(handler, Some(ports)), expected, "{handler}");
    }
    assert_eq!(pre_stop(r#"{"httpGet":{"port":"http"}}"#, None), http(None));
}

#[test]
fn annotations_of_the_kubelet() {
    let told = annotations(&map(&[
        ("io.kubernetes.pod.terminationGracePeriod", "30"),
        ("io.kubernetes.container.preStopHandler", r#"{"sleep":{"seconds":1}}"#),
        ("io.kubernetes.container.restartCount", "3"),
        ("org.opencontainers.image.stopSignal", "SIGQUIT"),
        ("io.kubernetes.container.hash", "abc"),
    ]));
    let expected = Annotated {
        grace_ms: Some(30_000),
        pre_stop: Some(PreStop::Sleep { ms: 1000 }),
        restarts: Some(3),
        stop_signal: Some(3),
    };
    assert_eq!(told, expected);
    assert_eq!(annotations(&map(&[])), Annotated::default());
    for grace in ["", "-1", "x", "1e3", "99999999999999999999", "18446744073709551615"] {
        assert_eq!(annotations(&map(&[(GRACE, grace)])), Annotated::default(), "{grace}");
    }
}

#[test]
fn stop_signals() {
    for (info, expected) in [
        (r#"{"imageSpec":{"config":{"StopSignal":"SIGQUIT","Env":["A=1"]}}}"#, Some(3)),
        (r#"{"imageSpec":{"config":{"StopSignal":"37"}}}"#, Some(37)),
        (r#"{"imageSpec":{"config":{"Cmd":["x"]}}}"#, Some(15)),
        (r#"{"imageSpec":{"config":{"StopSignal":"SIGNOPE"}}}"#, None),
        (r#"{"imageSpec":{}}"#, None),
        ("{}", None),
        ("", None),
    ] {
        assert_eq!(image_stop_signal(info), expected, "{info}");
    }
    for (info, expected) in [
        (r#"{"pid":1,"config":{"stop_signal":18},"runtimeSpec":{}}"#, Some(3)),
        (
            r#"{"config":{"stop_signal":0},"runtimeSpec":{"annotations":{"org.opencontainers.image.stopSignal":"SIGINT"}}}"#,
            Some(2),
        ),
        (r#"{"config":{"metadata":{}},"runtimeSpec":{"annotations":{}}}"#, None),
        (r#"{"config":null}"#, None),
        ("{}", None),
        ("x", None),
    ] {
        assert_eq!(container_stop_signal(info), expected, "{info}");
    }
}

#[test]
fn the_cris_own_numbers() {
    for (number, expected) in [
        (0, None),
        (1, Some(6)),
        (8, Some(1)),
        (10, Some(2)),
        (13, Some(9)),
        (18, Some(3)),
        (23, Some(15)),
        (34, Some(25)),
        (35, Some(34)),
        (38, Some(37)),
        (51, Some(50)),
        (65, Some(64)),
        (66, None),
        (usize::MAX, None),
    ] {
        assert_eq!(cri_signal(number), expected, "{number}");
    }
}

fn sandbox_of(id: &str, attempt: u32, ready: bool) -> PodSandbox {
    PodSandbox {
        id: id.into(),
        metadata: Some(PodSandboxMetadata { name: "web".into(), uid: "u".into(), namespace: "shop".into(), attempt }),
        state: i32::from(!ready),
        labels: map(&[("app", "web\u{1b}[0m"), (POD_NAME, "web"), (POD_NAMESPACE, "shop"), (POD_UID, "u")]),
        ..Default::default()
    }
}

#[test]
fn pods() {
    let status = |network: NamespaceMode| PodSandboxStatus {
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace {
                options: Some(NamespaceOption { network: network as i32, ..Default::default() }),
            }),
        }),
        ..Default::default()
    };
    let facts = pod("u", &sandbox_of("s", 0, true), Some(&status(NamespaceMode::Node)), AT);
    assert_eq!((facts.namespace.as_deref(), facts.name.as_deref()), (Some("shop"), Some("web")));
    assert_eq!(facts.labels, Some(BTreeMap::from([("app".into(), "web\u{fffd}[0m".into())])));
    assert_eq!((facts.sandbox_id.as_deref(), facts.host_network), (Some("s"), Some(true)));
    assert_eq!(pod("u", &sandbox_of("s", 0, true), Some(&status(NamespaceMode::Pod)), AT).host_network, Some(false));
    let bare = pod("u", &PodSandbox::default(), Some(&PodSandboxStatus::default()), AT);
    assert_eq!((bare.namespace, bare.name, bare.sandbox_id, bare.host_network), (None, None, None, None));

    // one that crictl made has no labels
    let crictl = PodSandbox { labels: HashMap::new(), ..sandbox_of("s", 0, true) };
    assert_eq!(uid(&crictl), Some("u"));
    assert_eq!(pod("u", &crictl, None, AT).name.as_deref(), Some("web"));
    assert!(is_named(&crictl, None, "web") && is_named(&crictl, Some("shop"), "web"));
    assert!(!is_named(&crictl, Some("other"), "web") && !is_named(&crictl, None, "we"));
}

#[test]
fn the_newest_ready_sandbox_counts() {
    let id = |sandboxes| newest(sandboxes).map(|sandbox: PodSandbox| sandbox.id);
    assert_eq!(
        id(vec![sandbox_of("a", 0, false), sandbox_of("b", 1, true), sandbox_of("c", 2, false)]),
        Some("b".into())
    );
    assert_eq!(id(vec![sandbox_of("b", 1, false), sandbox_of("a", 0, false)]), Some("b".into()));
    assert_eq!(id(vec![]), None);
    let facts = sandbox("u", &sandbox_of("a", 1, true), Some("containerd".into()), AT);
    assert_eq!((facts.role, facts.restarts, facts.name), (Some(ContainerRole::Sandbox), Some(1), None));
}

#[test]
fn containers() {
    let image = |image: &str, asked: &str| {
        Some(CriImage { image: image.into(), user_specified_image: asked.into(), ..Default::default() })
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let asked = Container {
        id: "c".into(),
        metadata: Some(ContainerMetadata { name: "meta".into(), attempt: 2 }),
        image: image(&digest, ""),
        labels: map(&[(CONTAINER_NAME, "app")]),
        annotations: map(&[(GRACE, "5")]),
        ..Default::default()
    };
    let status = ContainerStatus { image: image("docker.io/library/web:1", ""), ..Default::default() };
    let facts = container("u", &asked, Some(&status), Some("containerd".into()), Some(15), AT);
    assert_eq!((facts.name.as_deref(), facts.image.as_deref()), (Some("app"), Some("docker.io/library/web:1")));
    assert_eq!((facts.grace_ms, facts.restarts, facts.role), (Some(5000), Some(2), None));
    assert_eq!((facts.pre_stop, facts.stop_signal), (None, Some(15)));
    assert_eq!(container("u", &asked, None, None, None, AT).image, Some(digest.clone()));
    let named = Container { image: image(&digest, "web"), ..asked };
    assert_eq!(container("u", &named, Some(&status), None, None, AT).image.as_deref(), Some("web"));
    let bare = container("u", &Container::default(), None, None, None, AT);
    assert_eq!((bare.name, bare.image, bare.restarts), (None, None, None));
}

/// Text that is almost what is expected.
fn nearly_json() -> impl Strategy<Value = String> {
    let known = r#"[{}\[\]:,"0-9-]{0,20}|(\{"(exec|httpGet|sleep|imageSpec|config|runtimeSpec|command|port|seconds|StopSignal|stop_signal|annotations)":){0,8}(\[|"x"|-?[0-9]{1,25}|null|\{)?\}{0,8}"#;
    prop_oneof![any::<String>(), known]
}

proptest! {
    #[test]
    fn never_panics(text in nearly_json(), ports in nearly_json(), number in any::<usize>()) {
        let _ = pre_stop(&text, Some(&ports));
        let _ = image_stop_signal(&text);
        let _ = container_stop_signal(&text);
        let _ = cri_signal(number);
        let _ = annotations(&map(&[(GRACE, &text), (PRE_STOP, &text), (PORTS, &ports), (RESTARTS, &text), (IMAGE_STOP_SIGNAL, &text)]));
    }

    #[test]
    fn keeps_no_argument(secret in "[a-z]{12,20}") {
        let handler = serde_json::json!({"exec": {"command": ["curl", secret.clone()]}}).to_string();
        let told = annotations(&map(&[(PRE_STOP, &handler)]));
        prop_assert_eq!(told.pre_stop.clone(), Some(argv(&["curl", &secret])));
        let shown = format!("{told:?}");
        prop_assert!(!shown.contains(&secret));
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    assert_eq!(pre_stop(&deep, None), None);
    assert_eq!(pre_stop(&format!(r#"{{"exec":{}"#, "{\"a\":".repeat(100_000)), None), None);
}
