//! gracetrace in a cgroup namespace of its own, as it is in a pod of its own.

use crate::inside::unified;
use crate::play::{PORT, tracer_args, tracing, who};
use gracetrace_tests::client::{self, Stages, Use};
use gracetrace_tests::clock::slow;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::node::{Node, PodSpec, RunningPod};
use gracetrace_tests::recording;
use gracetrace_tests::suite::NotPossible;
use gracetrace_tests::tracer::{Finished, Tracer};
use std::path::PathBuf;
use std::time::Duration;

/// `$1` is a cgroup to be in, `$2` where the v2 tree is mounted, `$3` where the node's is to be: what is at `$2` then begins at
/// that cgroup, as in a container.
const AS_IN_A_POD: &str = r#"
echo $$ >"$1/cgroup.procs" && exec unshare --cgroup --mount sh -c '
mount --bind "$2" "$3" && umount -l "$2" && mount -t cgroup2 none "$2" && shift 3 && exec "$@"' sh "$@"
"#;

/// `$1` is a part of the v2 tree, `$2` where that is mounted, `$3` a folder: afterwards there is nothing of the tree but the part.
const AS_IN_A_NODE_CONTAINER: &str = r#"
exec unshare --mount sh -c 'mount --bind "$1" "$3" && while read -r _ point kind _; do
    [ "$kind" != cgroup2 ] || [ "$point" = "$3" ] || umount -l "$point" || exit
done </proc/self/mounts && mount --move "$3" "$2" && shift 3 && exec "$@"' sh "$@"
"#;

/// Removes the cgroup, also after a failure.
struct Own(PathBuf);

impl Drop for Own {
    fn drop(&mut self) {
        let empty = || std::fs::remove_dir(&self.0).is_ok().then_some(());
        let _busy = gracetrace_tests::clock::wait_until("an empty cgroup", Duration::from_secs(3), empty);
    }
}

/// The node's tree is mounted beside its own, and the pod is found in that.
pub(crate) fn private_cgroup_namespace(node: &Node) -> anyhow::Result<Vec<String>> {
    let tree = unified("/")?;
    if !tree.join("cgroup.events").exists() && !tree.join("cgroup.controllers").exists() {
        return Err(NotPossible("no cgroup v2 that could be mounted once more".to_owned()).into());
    }
    let own = Own(tree.join(format!("gracetrace-tests-own-{}", std::process::id())));
    std::fs::create_dir(&own.0)?;
    let mounted = node.scratch().join("node-cgroup");
    std::fs::create_dir_all(&mounted)?;
    let places = [&own.0, &tree, &mounted].map(|place| place.display().to_string());

    let spec = PodSpec::new("private-cgroupns", 8, &[PORT[0], PORT[1], "graceful"]);
    let pod = node.kubelet.run(&spec)?;
    let (arguments, log) = tracer_args(node, &spec, &[]);
    let through = [["sh", "-c", AS_IN_A_POD, "sh"].map(str::to_owned).as_slice(), &places].concat();
    let mut tracer = Tracer::start_through(&through, &arguments)?;
    tracer.wait_for_line(&tracing(&spec))?;
    let (mut facts, finished) = ends_well(node, &pod, tracer)?;
    facts.is("/containers/0/stop/signal", "SIGTERM");
    facts.is("/containers/0/exit/code", 0);
    let lines = facts.verdict()?;
    recording::replays(&log, &finished, "pod-private-cgroupns")?;
    Ok(lines)
}

/// As on a node that is a container itself (kind): the kernel names cgroups from further up than the tree goes that is mounted there. The pod
/// comes when it is being waited for, so its path is the kernel's.
pub(crate) fn part_of_the_tree(node: &Node) -> anyhow::Result<Vec<String>> {
    let tree = unified("/")?;
    if !tree.join("cgroup.controllers").exists() {
        return Err(NotPossible("no cgroup v2 of which a part could be mounted".to_owned()).into());
    }
    let mut spec = PodSpec::new("part-of-the-tree", 8, &[PORT[0], PORT[1], "graceful"]);
    spec.is_nested = true;
    let part = tree.join(spec.top_cgroup());
    std::fs::create_dir_all(&part)?;
    let moved = node.scratch().join("part");
    std::fs::create_dir_all(&moved)?;
    let places = [&part, &tree, &moved].map(|place| place.display().to_string());

    let (arguments, log) = tracer_args(node, &spec, &[]);
    let through = [["sh", "-c", AS_IN_A_NODE_CONTAINER, "sh"].map(str::to_owned).as_slice(), &places].concat();
    let mut tracer = Tracer::start_through(&through, &arguments)?;
    tracer.wait_for_line("waiting for pod")?;
    let pod = node.kubelet.run(&spec)?;
    tracer.wait_for_line(&tracing(&spec))?;
    let (mut facts, finished) = ends_well(node, &pod, tracer)?;
    // its sockets were read, for which its cgroup must be found
    facts.between("/connections/snapshot/atMs", 0.0, 200.0 * slow());
    let lines = facts.verdict()?;
    recording::replays(&log, &finished, "pod-part-of-the-tree")?;
    Ok(lines)
}

/// The pod is stopped with two clients that it serves to their end.
fn ends_well(node: &Node, pod: &RunningPod, tracer: Tracer) -> anyhow::Result<(Facts, Finished)> {
    let clients = client::open_all(pod.server, [Use::Served, Use::Asks(400)], &Stages::all_reached())?;
    std::thread::sleep(Duration::from_millis(100));
    node.kubelet.stop(pod)?;
    let finished = tracer.finish()?;
    let seen = client::seen_by_all(clients)?;
    node.kubelet.remove(pod)?;
    let mut facts = Facts::of(finished.report()?);
    who(&mut facts, pod);
    facts.is("/outcome", "Graceful");
    facts.counts(&Counts { open_at_stop: 2, closed_gracefully: 2, ..Counts::default() }, true);
    facts.details_are(seen.iter());
    facts.findings(&[]);
    facts.complete();
    Ok((facts, finished))
}
