//! Snapshots of this process as if it were a pod, on the real kernel. The „pod“ is a folder, so to the
//! kernel its cgroup is not the sockets': what is found was found by descriptors.

use super::*;
use crate::input::{BootNs, CgroupId, Input, TcpState};
use crate::source::sockets::SocketReader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};

const POD: &str = "/kubepods/pod0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

struct Fake {
    _folder: tempfile::TempDir,
    tree: CgroupTree,
}

fn fake(tgids: &[u32]) -> (Fake, Wanted) {
    let folder = tempfile::tempdir().expect("a folder");
    let pod = folder.path().join(&POD[1..]);
    std::fs::create_dir_all(&pod).expect("a folder");
    let list = tgids.iter().map(u32::to_string).collect::<Vec<_>>().join("\n");
    std::fs::write(pod.join("cgroup.procs"), list).expect("a file");
    let tree = CgroupTree::at(folder.path().to_owned());
    let pod = tree.id(POD).expect("its id");
    (
        Fake { _folder: folder, tree },
        Wanted { pod, path: POD.to_owned(), cgroups: BTreeSet::new(), tgid: std::process::id() },
    )
}

fn own() -> Spaces {
    Spaces { own: Netns::own().expect("its namespace").inode, host: None }
}

#[test]
fn a_long_list_comes_in_parts() {
    const CONNECTIONS: usize = 600;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("room for descriptors");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut ends = Vec::new();
    for _ in 0..CONNECTIONS {
        ends.push(TcpStream::connect(address).expect("a connection"));
        ends.push(listener.accept().expect("a connection").0);
    }
    // and one that waits at the handed-in listener
    let waiting = TcpStream::connect(address).expect("a connection");

    let (fake, wanted) = fake(&[std::process::id()]);
    let (sender, mut results) = tokio::sync::mpsc::channel(1);
    let reader = SocketReader::spawn(&fake.tree, None, sender).expect("its threads");
    reader.want(wanted.clone());
    let mut parts = Vec::new();
    while parts.last().is_none_or(|part: &Sockets| part.more) {
        match results.blocking_recv() {
            Some(Input::Sockets(part)) => parts.push(part),
            other => panic!("{other:?}"),
        }
    }
    assert!(parts.len() >= 3 && parts.iter().all(|part| part.found.len() <= PART));
    let first = &parts[0];
    assert!(first.taken_at < first.at);
    for part in &parts {
        assert_eq!((part.at, part.taken_at, part.pod), (first.at, first.taken_at, wanted.pod));
        assert_eq!((part.netns, &part.problem), (Some(own().own), &None));
    }
    // other tests of this process have sockets of their own
    let ours = |found: &&FoundSocket| found.local == address || found.peer == address;
    let ours: Vec<_> = parts.iter().flat_map(|part| &part.found).filter(ours).collect();
    assert_eq!(ours.len(), 1 + 2 * CONNECTIONS + 2);
    assert_eq!(ours.iter().filter(|found| found.state == TcpState::Listen).count(), 1);
    let orphans: Vec<_> = ours.iter().filter(|found| found.is_orphan).map(|found| found.peer).collect();
    assert_eq!(orphans, [waiting.local_addr().expect("its address")]);
    // that they are of another cgroup is not told before 5.9
    assert!(ours.iter().all(|found| (found.cgroup, found.handed_in) == (ours[0].cgroup, ours[0].handed_in)));

    drop(reader);
    assert_eq!(results.blocking_recv(), None, "the threads have ended");
}

/// What is known of the namespace, and the problem.
fn check(tree: &CgroupTree, wanted: &Wanted, netns: Option<u32>, problem: &str) {
    let parts = take(tree, own(), wanted);
    assert_eq!(parts.len(), 1);
    let Sockets { found, more, netns: told, problem: told_problem, .. } = &parts[0];
    assert_eq!((found.len(), *more, *told), (0, false, netns));
    let told_problem = told_problem.as_deref().unwrap_or_default();
    assert!(told_problem.starts_with(problem) && told_problem.ends_with(UNKNOWN), "{told_problem}");
}

#[test]
fn what_is_gone_is_said() {
    let (fake_pod, wanted) = fake(&[]);
    let no_process = "no process is left whose network namespace could be found: ";
    check(&fake_pod.tree, &wanted, None, no_process);
    check(
        &fake_pod.tree,
        &Wanted { pod: CgroupId(wanted.pod.0 + 1), ..wanted.clone() },
        None,
        "the pod's cgroup has been replaced by another: ",
    );
    check(&fake_pod.tree, &Wanted { path: format!("{POD}0"), ..wanted }, None, "read ");
    // numbers that no process has; the signalled process is not asked, as it is not in the pod
    let (fake_pod, wanted) = fake(&[u32::MAX, u32::MAX - 1]);
    check(&fake_pod.tree, &wanted, None, no_process);
}

#[test]
fn another_process_is_asked_if_the_signalled_one_is_gone() {
    let own_tgid = std::process::id();
    let members = |tgids: &[u32]| Members { tgids: tgids.to_vec(), ..Members::default() };
    let inode = |tgids: &[u32], signalled| netns_of(&members(tgids), signalled).map(|netns| netns.inode);
    assert_eq!(inode(&[u32::MAX, own_tgid], u32::MAX), Ok(own().own));
    assert_eq!(inode(&[own_tgid], u32::MAX), Ok(own().own));
}

#[test]
fn parts_of_a_list() {
    let found = FoundSocket {
        cgroup: None,
        state: TcpState::Listen,
        local: SocketAddr::from(([0, 0, 0, 0], 80)),
        peer: SocketAddr::from(([0, 0, 0, 0], 0)),
        at_least_ms: None,
        is_orphan: false,
        handed_in: false,
    };
    let whole = Sockets {
        at: BootNs(2),
        taken_at: BootNs(1),
        pod: CgroupId(3),
        netns: Some(4),
        found: Vec::new(),
        more: false,
        problem: Some("half of it".to_owned()),
    };
    for (count, expected) in
        [(0, &[0][..]), (1, &[1]), (PART, &[PART]), (PART + 1, &[PART, 1]), (1_200, &[500, 500, 200])]
    {
        let parts = parts(&whole, vec![found.clone(); count]);
        assert_eq!(parts.iter().map(|part| part.found.len()).collect::<Vec<_>>(), expected);
        assert!(parts.iter().all(|part| part.found.capacity() <= 2 * PART), "no part keeps room for the others");
        let (last, before) = parts.split_last().expect("one at least");
        assert!(!last.more && last.problem == whole.problem);
        assert!(before.iter().all(|part| part.more && part.problem.is_none() && part.at == whole.at));
    }
}
