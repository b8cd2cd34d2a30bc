//! The second disk of a node: gracetrace, the tests and the list of jobs.

use crate::process;
use crate::vm::jobs::{self, Job, quoted};
use crate::vm::programs::Programs;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes it. `tests` is the folder of the tests.
pub(super) fn write(image: &Path, programs: &Programs, jobs: &[Job], tests: &Path, slow: u32) -> Result<()> {
    let tree = image.with_extension("tree");
    fs::create_dir_all(&tree).with_context(|| format!("can't make {}", tree.display()))?;
    let mut script = vec!["echo".to_owned(), "echo \"@vm up $(uname -r)\"".to_owned()];
    for (number, (place, program)) in programs.places().enumerate() {
        let copy = tree.join(number.to_string());
        fs::copy(program, &copy).with_context(|| format!("can't copy {}", program.display()))?;
        // each is to be where the tests look for it
        let place = format!("/{}", place.trim_start_matches('/'));
        let folder = Path::new(&place).parent().unwrap_or(Path::new("/")).display().to_string();
        script.push(format!("mkdir -p {} && ln -s /mnt/{number} {}", quoted(&folder), quoted(&place)));
    }
    script.push(format!("mkdir -p {}", quoted(&tests.join("fixtures/logs/failed").display().to_string())));
    script.push(jobs::script(jobs, tests, slow));
    // at once: what is written is forgotten anyhow
    script.push("systemctl poweroff --force --force\n".to_owned());
    let run = tree.join("run");
    fs::write(&run, script.join("\n")).with_context(|| format!("can't write {}", run.display()))?;
    let mut make = Command::new("mkfs.ext4");
    process::run(make.args(["-q", "-O", "^has_journal", "-d"]).arg(&tree).arg(image).arg("256M"))?;
    fs::remove_dir_all(&tree).with_context(|| format!("can't remove {}", tree.display()))
}

/// Removes it.
pub(super) fn remove(image: &Path) -> Result<()> {
    fs::remove_file(image).with_context(|| format!("can't remove {}", image.display()))
}
