//! Images made on the spot: busybox, the victim and the libraries it was linked with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Imports the victim's images and the sandbox's.
pub(super) fn import(root: &Path, socket: &Path, victim: &Path) -> anyhow::Result<()> {
    let stage = root.join("image");
    let (files, archive) = (stage.join("rootfs"), stage.join("archive"));
    fs::create_dir_all(&archive)?;
    stage_files(&files, victim)?;
    let layer = stage.join("layer.tar");
    pack(&files, &layer)?;
    let images = [
        Image { tag: super::VICTIM_IMAGE, config: serde_json::json!({"Entrypoint": ["/victim"]}) },
        Image {
            tag: super::VICTIM_QUIT_IMAGE,
            config: serde_json::json!({"Entrypoint": ["/victim"], "StopSignal": "SIGQUIT"}),
        },
        Image { tag: super::PAUSE_IMAGE, config: serde_json::json!({"Entrypoint": ["/victim", "pause"]}) },
    ];
    load(socket, &archive, &[layer], &images)?;
    Ok(fs::remove_dir_all(&stage)?)
}

/// An image: what it is called, and its `config` as a Dockerfile would set it (`Entrypoint`, `StopSignal`, `User`).
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name and tag.
    pub tag: &'static str,
    /// Its configuration.
    pub config: serde_json::Value,
}

/// Makes a layer of a folder; everything in it belongs to root.
pub(super) fn pack(folder: &Path, layer: &Path) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf"]).arg(layer);
    run(tar.arg("-C").arg(folder).arg(".")).map(drop)
}

/// Imports images that share these layers; what it needs for that lies in the folder `archive`.
pub(super) fn load(socket: &Path, archive: &Path, layers: &[PathBuf], images: &[Image]) -> anyhow::Result<()> {
    let (mut names, mut digests) = (Vec::new(), Vec::new());
    for (number, layer) in layers.iter().enumerate() {
        let digest = run(Command::new("sha256sum").arg(layer))?;
        digests.push(format!("sha256:{}", digest.split_whitespace().next().unwrap_or_default()));
        let name = format!("{number}.tar");
        std::os::unix::fs::symlink(layer, archive.join(&name))?;
        names.push(name);
    }
    let mut manifest = Vec::new();
    for (number, Image { tag, config }) in images.iter().enumerate() {
        let config = serde_json::json!({
            "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": digests},
        });
        let file = format!("{number}.json");
        fs::write(archive.join(&file), config.to_string())?;
        manifest.push(serde_json::json!({"Config": file, "RepoTags": [tag], "Layers": names}));
    }
    fs::write(archive.join("manifest.json"), serde_json::Value::from(manifest).to_string())?;
    let mut ctr = Command::new("ctr");
    ctr.arg("--address").arg(socket).args(["-n", "k8s.io", "images", "import", "-"]);
    pipe(Command::new("tar").args(["--dereference", "-c", "-C"]).arg(archive).arg("."), &mut ctr)
}

fn stage_files(files: &Path, victim: &Path) -> anyhow::Result<()> {
    for folder in ["bin", "tmp", "stamps", "etc"] {
        fs::create_dir_all(files.join(folder))?;
    }
    fs::copy(victim, files.join("victim"))?;
    fs::copy(busybox()?, files.join("bin/busybox"))?;
    for name in ["sh", "sleep", "true", "kill"] {
        std::os::unix::fs::symlink("busybox", files.join("bin").join(name))?;
    }
    // the same program on the host and in the image, so it brings the libraries it was linked with
    for library in libraries(victim)? {
        let inside = files.join(library.strip_prefix("/")?);
        fs::create_dir_all(inside.parent().unwrap_or(files))?;
        fs::copy(&library, inside)?;
    }
    Ok(())
}

fn busybox() -> anyhow::Result<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    places
        .into_iter()
        .find(|place| place.is_file())
        .ok_or_else(|| anyhow::anyhow!("no busybox: install busybox-static"))
}

fn libraries(program: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let output = run(Command::new("ldd").arg(program))?;
    Ok(output.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Runs two programs to their ends, the second with the first one's stdout.
pub(super) fn pipe(from: &mut Command, to: &mut Command) -> anyhow::Result<()> {
    let mut source = from.stdout(Stdio::piped()).spawn().map_err(|error| anyhow::anyhow!("{from:?}: {error}"))?;
    let content = source.stdout.take().ok_or_else(|| anyhow::anyhow!("{from:?} is not piped"))?;
    let taken = run(to.stdin(content));
    // a pipe of which nobody reads any more ends the source as well
    to.stdin(Stdio::null());
    let status = source.wait()?;
    taken?;
    anyhow::ensure!(status.success(), "{from:?} ended with {status}");
    Ok(())
}

/// Runs a program to its end and gives its stdout.
pub(super) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().map_err(|error| anyhow::anyhow!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
