//! Names from folders that look like a node's.

use super::*;
use crate::input::PreStop;
use std::fs;

const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const STATIC: &str = "a3f6c1d2e4b5968778695a4b3c2d1e0f";
const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const AT: BootNs = BootNs(11);

fn places(folder: &Path) -> Places {
    Places {
        endpoints: Vec::new(),
        pod_logs: folder.join("logs"),
        containerd: vec![folder.join("containerd")],
        crio: vec![folder.join("crio")],
        now: || AT,
    }
}

#[test]
fn folders_of_logs() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = places(folder.path());
    assert_eq!(places.pod(UID), None);
    for name in [
        format!("shop_web-1_{UID}"),
        format!("kube-system_etcd-n1_{STATIC}"),
        "other_web-1_11111111-2222-3333-4444-555555555555".to_owned(),
        "odd".to_owned(),
        "a_b_c".to_owned(),
        format!("a_b_c_{UID}"),
        format!("_x_{}", UID.replace('0', "1")),
    ] {
        fs::create_dir_all(places.pod_logs.join(name)).expect("a folder");
    }
    let name = |pod: Option<PodFacts>| pod.map(|pod| (pod.namespace.unwrap_or_default(), pod.name.unwrap_or_default()));
    assert_eq!(name(places.pod(UID)), Some(("shop".into(), "web-1".into())));
    assert_eq!(name(places.pod(STATIC)), Some(("kube-system".into(), "etcd-n1".into())));
    for uid in ["../../x", "", "c", &UID.replace('0', "1")] {
        assert_eq!(places.pod(uid), None, "{uid}");
    }
    assert_eq!(places.pods_named(None, "web-1").len(), 2);
    let found = places.pods_named(Some("shop"), "web-1");
    assert_eq!(found.iter().map(|pod| pod.uid.as_str()).collect::<Vec<_>>(), [UID]);
    assert_eq!(places.pods_named(Some("shop"), "web"), []);
}

fn check(place: &str, annotations: &str, expected: impl FnOnce(ContainerFacts, PodFacts)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(place.replace("{id}", ID));
    fs::create_dir_all(path.parent().expect("its folder")).expect("a folder");
    fs::write(path, format!(r#"{{"ociVersion":"1","process":{{}},"annotations":{annotations}}}"#)).expect("a file");
    let (container, pod) = places(folder.path()).container(UID, ID).expect("facts");
    assert_eq!((container.source, container.at, container.pod_uid.as_str()), (FactSource::Cgroup, AT, UID));
    expected(container, pod);
}

#[test]
fn specifications_of_containerd() {
    let common = format!(
        r#""io.kubernetes.cri.sandbox-id":"{ID}","io.kubernetes.cri.sandbox-name":"web","io.kubernetes.cri.sandbox-namespace":"shop""#
    );
    let app = format!(
        r#"{{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"app","io.kubernetes.cri.image-name":"web:1",{common}}}"#
    );
    check("containerd/{id}/config.json", &app, |container, pod| {
        assert_eq!((container.name.as_deref(), container.image.as_deref()), (Some("app"), Some("web:1")));
        assert_eq!((container.runtime.as_deref(), container.role), (Some("containerd"), None));
        assert_eq!((pod.namespace.as_deref(), pod.name.as_deref()), (Some("shop"), Some("web")));
        assert_eq!((pod.uid.as_str(), pod.sandbox_id.as_deref()), (UID, Some(ID)));
    });
    let pause = format!(r#"{{"io.kubernetes.cri.container-type":"sandbox",{common}}}"#);
    check("containerd/{id}/config.json", &pause, |container, _| {
        assert_eq!((container.name, container.role), (None, Some(ContainerRole::Sandbox)));
    });
}

#[test]
fn specifications_of_crio() {
    let app = r#"{"io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.container.name":"app","io.kubernetes.pod.name":"web",
        "io.kubernetes.pod.namespace":"shop","io.kubernetes.cri-o.SandboxID":"../../x","io.kubernetes.pod.terminationGracePeriod":"9",
        "io.kubernetes.container.preStopHandler":"{\"sleep\":{\"seconds\":2}}","org.opencontainers.image.stopSignal":"SIGINT"}"#;
    check("crio/{id}/userdata/config.json", app, |container, pod| {
        assert_eq!((container.name.as_deref(), container.runtime.as_deref()), (Some("app"), Some("cri-o")));
        assert_eq!((container.grace_ms, container.stop_signal), (Some(9000), Some(2)));
        assert_eq!(container.pre_stop, Some(PreStop::Sleep { ms: 2000 }));
        assert_eq!((pod.name.as_deref(), pod.sandbox_id), (Some("web"), None));
    });
}

#[test]
fn what_is_no_specification_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = places(folder.path());
    let bundle = places.containerd[0].join(ID);
    fs::create_dir_all(&bundle).expect("a folder");
    for text in ["", "{}", "{\"annotations\":{}}", "{\"annotations\":[]}", "\u{0}", "[[["] {
        fs::write(bundle.join("config.json"), text).expect("a file");
        assert_eq!(places.container(UID, ID), None, "{text}");
    }
    fs::write(
        folder.path().join("config.json"),
        "{\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\"}}",
    )
    .expect("a file");
    assert_eq!(places.container(UID, ".."), None);
}
