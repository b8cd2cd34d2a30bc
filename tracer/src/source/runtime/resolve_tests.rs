//! The resolver without a runtime, and its agenda.

use super::*;
use crate::input::BootNs;
use std::path::Path;

const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn pod() -> Ask {
    Ask::Pod { uid: UID.into() }
}

fn container(number: usize) -> Ask {
    Ask::Container { pod_uid: UID.into(), id: format!("{number:064x}") }
}

#[test]
fn no_question_is_put_twice() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    for ask in [container(1), pod(), container(1), container(2)] {
        agenda.take(ask, now);
    }
    let started: Vec<Ask> = std::iter::from_fn(|| agenda.start()).map(|job| job.ask).collect();
    assert_eq!(started, [pod(), container(1), container(2)]);
    agenda.take(pod(), now);
    assert!(agenda.start().is_none());
}

#[test]
fn waits_grow_until_it_gives_up_and_may_be_asked_again() {
    let mut now = Instant::now();
    let begin = now;
    let mut agenda = Agenda::default();
    agenda.take(pod(), now);
    let mut attempts = 0;
    while let Some(due) = agenda.next_due() {
        now = due;
        let job = agenda.start().expect("it is due");
        attempts += 1;
        agenda.finish(job, false, now);
    }
    assert_eq!(attempts, WAITS_MS.len());
    assert!((50..70).contains(&(now - begin).as_secs()));
    agenda.take(pod(), now);
    assert!(agenda.start().is_some());
}

#[test]
fn everything_is_bounded() {
    let now = Instant::now();
    let mut agenda = Agenda::default();
    for number in 0..3 * MAX_ASKED {
        agenda.take(container(number), now);
    }
    assert_eq!(agenda.waiting.len(), MAX_ASKED);
    while let Some(job) = agenda.start() {
        agenda.finish(job, true, now);
    }
    for number in 0..3 * MAX_ASKED {
        agenda.take(container(number), now);
        while let Some(job) = agenda.start() {
            agenda.finish(job, true, now);
        }
    }
    assert!(agenda.asked.len() <= MAX_ASKED && agenda.order.len() <= MAX_ASKED && agenda.waiting.is_empty());
}

fn places(folder: &Path, endpoints: Vec<String>) -> Places {
    Places {
        endpoints,
        pod_logs: folder.join("logs"),
        containerd: vec![folder.join("containerd")],
        crio: Vec::new(),
        now: || BootNs(1),
    }
}

/// What is learnt about a pod and its container when only files tell.
async fn check(endpoints: fn(&Path) -> Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let places = places(folder.path(), endpoints(folder.path()));
    let (asks, queue) = mpsc::channel(8);
    let (inputs, mut learnt) = mpsc::channel(8);
    let resolver = tokio::spawn(run(places.clone(), queue, inputs));
    asks.send(Ask::Container { pod_uid: UID.into(), id: ID.into() }).await.expect("it listens");
    // the kubelet is slower than the kernel
    tokio::time::sleep(Duration::from_millis(30)).await;
    std::fs::create_dir_all(places.pod_logs.join(format!("shop_web_{UID}"))).expect("a folder");
    let bundle = places.containerd[0].join(ID);
    std::fs::create_dir_all(&bundle).expect("a folder");
    let spec =
        r#"{"annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"app"}}"#;
    std::fs::write(bundle.join("config.json"), spec).expect("a file");

    let (mut pod, mut container) = (None, None);
    while pod.is_none() || container.is_none() {
        let input = tokio::time::timeout(Duration::from_secs(20), learnt.recv()).await.expect("in time");
        match input {
            Some(Input::Pod(facts)) if facts.name.is_some() => pod = facts.name,
            Some(Input::Container(facts)) => container = facts.name,
            _ => {}
        }
    }
    assert_eq!((pod.as_deref(), container.as_deref()), (Some("web"), Some("app")));
    drop(asks);
    tokio::time::timeout(Duration::from_secs(5), resolver).await.expect("it ends").expect("no panic");
}

#[tokio::test]
async fn names_come_without_a_runtime() {
    check(|_| Vec::new()).await;
    check(|folder| vec![format!("unix://{}/absent.sock", folder.display()), "tcp://nonsense".into()]).await;
}

#[tokio::test]
async fn names_come_though_the_runtime_is_stuck() {
    check(|folder| {
        let path = folder.join("silent.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        std::mem::forget(listener);
        vec![path.display().to_string()]
    })
    .await;
}

#[tokio::test]
async fn ends_when_nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_asks, queue) = mpsc::channel(8);
    let (inputs, learnt) = mpsc::channel(8);
    let resolver = tokio::spawn(run(places(folder.path(), Vec::new()), queue, inputs));
    drop(learnt);
    tokio::time::timeout(Duration::from_secs(5), resolver).await.expect("it ends").expect("no panic");
}
