//! containerd: its configuration, its start and its end.

use super::kind::{Driver, Kind};
use crate::clock::wait_until;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The bridge that the pods hang on.
pub(super) const BRIDGE: &str = "gttest0";

/// Where it listens.
pub(super) fn socket(root: &Path) -> PathBuf {
    root.join("containerd.sock")
}

/// Starts containerd below `root` and waits until it answers; its end is remembered.
pub(super) fn start(root: &Path, kind: Kind) -> anyhow::Result<PathBuf> {
    for program in ["containerd", "ctr", kind.runtime, "/usr/lib/cni/bridge", "busybox"] {
        anyhow::ensure!(
            found(program),
            "{program} is not installed: `cargo xtask setup` installs what this tier needs"
        );
    }
    fs::create_dir_all(root.join("cni"))?;
    fs::create_dir_all(root.join("scratch"))?;
    fs::write(root.join("cni/10-gracetrace.conflist"), network(root))?;
    fs::write(root.join("config.toml"), configuration(root, kind))?;
    let log = fs::File::create(root.join("containerd.log"))?;
    restore_forwarding_at_end()?;
    let mut daemon = Command::new("containerd")
        .arg("--config")
        .arg(root.join("config.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // its own group: Ctrl-C on the terminal is for the harness, which needs it to remove the pods
        .process_group(0)
        .spawn()?;
    fs::write(root.join("containerd.pid"), daemon.id().to_string())?;
    let socket = socket(root);
    let answers =
        || Command::new("ctr").arg("--address").arg(&socket).arg("version").output().is_ok_and(|o| o.status.success());
    let ready = wait_until("containerd's socket", Duration::from_secs(30), || answers().then_some(()));
    crate::suite::at_end("containerd", move || {
        let pid = rustix::process::Pid::from_child(&daemon);
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        if wait_until("containerd's end", Duration::from_secs(10), || daemon.try_wait().ok().flatten()).is_err() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    });
    if let Err(error) = ready {
        let log = fs::read_to_string(root.join("containerd.log")).unwrap_or_default();
        anyhow::bail!("{error}; its log ends: {}", log.lines().rev().take(5).collect::<Vec<_>>().join(" | "));
    }
    Ok(socket)
}

/// The bridge plugin switches forwarding on; the machine gets back what it had.
fn restore_forwarding_at_end() -> anyhow::Result<()> {
    for path in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
        let before = fs::read_to_string(path)?;
        crate::suite::at_end("IP forwarding", move || Ok(fs::write(path, before.trim())?));
    }
    Ok(())
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.iter().any(|place| place.join(program).is_file())
}

fn configuration(root: &Path, kind: Kind) -> String {
    let (runtime, is_systemd) = (kind.runtime, kind.driver == Driver::Systemd);
    let (root, pause) = (root.display(), super::PAUSE_IMAGE);
    format!(
        r#"version = 2
root = "{root}/lib"
state = "{root}/run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{root}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # hosts without CAP_SYS_RESOURCE may not lower the score
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{root}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{runtime}"
      SystemdCgroup = {is_systemd}
"#
    )
}

fn network(root: &Path) -> String {
    let root = root.display();
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "gracetrace-tests", "plugins": [
  {{"type": "bridge", "bridge": "{BRIDGE}", "isGateway": true, "ipMasq": false,
   "ipam": {{"type": "host-local", "dataDir": "{root}/ipam",
            "ranges": [[{{"subnet": "10.89.0.0/24"}}], [{{"subnet": "fd00:89::/64"}}]]}}}}]}}"#
    )
}
