//! The walk, over a folder that looks like a cgroup tree.

use super::*;
use std::fs;

const POD: &str = "/kubepods/burstable/pod0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const OTHER: &str = "/kubepods/podffffffff-eeee-dddd-cccc-bbbbbbbbbbbb";
const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const NOW: BootNs = BootNs(7);

struct Fake {
    folder: tempfile::TempDir,
    tree: CgroupTree,
}

fn fake() -> Fake {
    let folder = tempfile::tempdir().expect("a folder");
    let tree =
        CgroupTree { hierarchy: Hierarchy::V2, root: folder.path().join("cgroup"), proc: folder.path().join("proc") };
    fs::create_dir_all(&tree.root).expect("a folder");
    Fake { folder, tree }
}

impl Fake {
    fn cgroup(&self, path: &str, tgids: &[u32]) -> CgroupId {
        let folder = self.tree.root.join(&path[1..]);
        fs::create_dir_all(&folder).expect("a folder");
        let list = tgids.iter().map(u32::to_string).collect::<Vec<_>>().join("\n");
        fs::write(folder.join("cgroup.procs"), list).expect("a file");
        self.tree.id(path).expect("its id")
    }

    fn process(&self, tgid: u32, ticks: u64) {
        let folder = self.folder.path().join("proc").join(tgid.to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let stat = format!("{tgid} (my (app)) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 {ticks} 0\n");
        fs::write(folder.join("stat"), stat).expect("a file");
        fs::write(folder.join("status"), format!("Name:\tx\nNSpid:\t{tgid}\t1\n")).expect("a file");
    }

    fn walk(&self) -> Vec<CgroupFound> {
        let root = Place { folder: self.tree.root.clone(), path: String::new(), depth: 0, pod: None };
        self.tree.walk(&root, NOW).expect("a tree")
    }
}

#[test]
fn pods_come_with_all_below_them() {
    let fake = fake();
    fake.cgroup("/system.slice/ssh.service", &[5]);
    let other = fake.cgroup(OTHER, &[]);
    let pod = fake.cgroup(POD, &[]);
    let container = format!("{POD}/{ID}");
    fake.cgroup(&container, &[30, 20, 0, 404]);
    // a container may name the cgroups inside its own like those of another pod
    let nested = format!("{container}{OTHER}");
    fake.cgroup(&nested, &[]);
    fake.process(30, 100);
    fake.process(20, 200);

    let found = fake.walk();
    let paths: Vec<_> = found.iter().map(|found| (found.path.as_str(), found.pod)).collect();
    let inside = format!("{container}/kubepods");
    assert_eq!(paths, [(POD, pod), (&container, pod), (&inside, pod), (&nested, pod), (OTHER, other)],);
    let processes = &found[1].processes;
    let expected = |tgid, ticks: u64| Process {
        tgid,
        start: BootNs(ticks * 10_000_000),
        ns_tgid: 1,
        parent_tgid: 1,
        comm: "my (app)".into(),
        exe: None,
    };
    assert_eq!(*processes, [expected(30, 100), expected(20, 200)]);
    assert!(found.iter().all(|found| found.at == NOW && fake.tree.id(&found.path).expect("its id") == found.id));
}

/// As CRI-O lays it out with crun and systemd's driver, and conmon in the pod's slice.
#[test]
fn a_tree_of_cri_o() {
    let fake = fake();
    let slice =
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice";
    let pod = fake.cgroup(slice, &[]);
    let (scope, conmon) = (format!("{slice}/crio-{ID}.scope"), format!("{slice}/crio-conmon-{ID}.scope"));
    let inside = format!("{scope}/container");
    fake.cgroup(&conmon, &[10]);
    fake.cgroup(&scope, &[]);
    fake.cgroup(&inside, &[20]);
    fake.cgroup(&format!("/system.slice/crio-conmon-{ID}.scope"), &[11]);
    for tgid in [10, 11, 20] {
        fake.process(tgid, 100);
    }

    let found = fake.walk();
    let container = |path: &str| cgroup_path::parse(path)?.container.map(|container| (container.id, container.runtime));
    let told: Vec<_> = found.iter().map(|found| (found.path.as_str(), found.pod, container(&found.path))).collect();
    let known = Some((ID.to_owned(), Some("cri-o")));
    assert_eq!(
        told,
        [
            (slice, pod, None),
            (scope.as_str(), pod, known.clone()),
            (inside.as_str(), pod, known),
            // what watches the container is none
            (conmon.as_str(), pod, None),
        ]
    );
    let tgids: Vec<_> = found.iter().flat_map(|found| &found.processes).map(|process| process.tgid).collect();
    assert_eq!(tgids, [20, 10]);
}

#[test]
fn members_are_those_of_all_below() {
    let fake = fake();
    let pod = fake.cgroup(POD, &[]);
    let container = fake.cgroup(&format!("{POD}/{ID}"), &[30, 0, 20]);
    let nested = fake.cgroup(&format!("{POD}/{ID}/x"), &[40]);
    fake.cgroup(OTHER, &[50]);
    let members = fake.tree.members(POD).expect("a pod");
    assert_eq!(members, Members { cgroups: [pod, container, nested].into(), tgids: vec![30, 20, 40] });
    assert!(fake.tree.members(&format!("{POD}/gone")).is_err());
    assert!(fake.tree.members("/../etc").is_err());
}

#[test]
fn a_subtree_belongs_to_the_given_pod() {
    let fake = fake();
    let own = fake.cgroup("/gracetrace-run", &[]);
    let below = fake.cgroup("/gracetrace-run/x", &[]);
    let place = |path: &str| Place {
        folder: fake.tree.folder(path).expect("a path"),
        path: path.into(),
        depth: 0,
        pod: Some(own),
    };
    let found = fake.tree.walk(&place("/gracetrace-run"), NOW).expect("a tree");
    assert_eq!(found.iter().map(|found| (found.id, found.pod)).collect::<Vec<_>>(), [(own, own), (below, own)]);
    assert!(fake.tree.walk(&place("/gone"), NOW).is_err());
}

#[test]
fn links_and_endless_nesting_are_not_followed() {
    let fake = fake();
    fake.cgroup(POD, &[]);
    std::os::unix::fs::symlink(&fake.tree.root, fake.tree.root.join(&POD[1..]).join("loop")).expect("a link");
    fake.cgroup(&format!("{POD}{}", "/x".repeat(100)), &[]);
    let found = fake.walk();
    assert!(found.iter().all(|found| !found.path.contains("loop")));
    assert_eq!(found.len(), 1 + MAX_DEPTH - 3);
}

#[test]
fn no_path_leads_out_of_the_tree() {
    let fake = fake();
    for path in ["/../x", "/a/../../x", "/..", "//../x"] {
        let error = fake.tree.id(path).expect_err(path).to_string();
        assert!(error.contains("not a path of a cgroup") && !error.contains('\n'), "{error}");
    }
    let error = fake.tree.id("/gone").expect_err("no such cgroup").to_string();
    assert!(error.starts_with("read ") && error.contains("/gone: ") && !error.contains('\n'), "{error}");
    assert!(fake.tree.id("/").is_ok());
}

#[test]
fn what_the_kernel_names_from_further_up_is_found_where_a_part_is_mounted() {
    let fake = fake();
    let id = fake.cgroup(POD, &[]);
    assert!(fake.tree.is_whole());
    assert_eq!(fake.tree.place_of(POD, id).as_deref(), Some(POD));
    assert_eq!(fake.tree.place_of(&format!("/docker/{ID}/kubelet{POD}"), id).as_deref(), Some(POD));
    // another one that has the path, and none
    assert_eq!(fake.tree.place_of(POD, CgroupId(id.0 + 1_000)), None);
    assert_eq!(fake.tree.place_of(OTHER, id), None);
    fs::write(fake.tree.root.join("cgroup.events"), "populated 1\n").expect("a file");
    assert!(!fake.tree.is_whole());
}
