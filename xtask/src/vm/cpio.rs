//! An initramfs: an archive in the kernel's own format (`newc`, Documentation/driver-api/early-userspace/
//! buffer-format.rst), written without any other program.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive that is being written.
pub(super) struct Cpio {
    file: BufWriter<File>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Cpio {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { file: BufWriter::new(file), entries: 0, folders: BTreeSet::new() })
    }

    /// A folder and all above it.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            if end > 0 && self.folders.insert(path[..end].to_owned()) {
                self.entry(&path[..end], FOLDER, &[])?;
            }
        }
        Ok(())
    }

    /// A file that may be run, with the folders it is in.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.within(path)?;
        self.entry(path, PROGRAM, content)
    }

    /// A file of this machine's, under another name.
    pub(super) fn copy(&mut self, path: &str, source: &Path) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("can't read {}", source.display()))?;
        self.file(path, &content)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) -> Result<()> {
        self.within(path)?;
        self.entry(path, LINK, to.as_bytes())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.file.flush().context("can't write the initramfs")
    }

    fn within(&mut self, path: &str) -> Result<()> {
        path.rsplit_once('/').map_or(Ok(()), |(folder, _)| self.folder(folder))
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let name = path.trim_start_matches('/');
        self.entries += 1;
        let length = u32::try_from(content.len()).with_context(|| format!("{name} is too large for an initramfs"))?;
        let name_length = u32::try_from(name.len() + 1)?;
        let links = if mode == FOLDER { 2 } else { 1 };
        // inode, mode, owner, group, links, time, size, device ×2, device it stands for ×2, name's length, checksum
        let header = [self.entries, mode, 0, 0, links, 0, length, 0, 0, 0, 0, name_length, 0];
        let mut bytes = b"070701".to_vec();
        for word in header {
            bytes.extend(format!("{word:08x}").bytes());
        }
        bytes.extend(name.bytes());
        bytes.push(0);
        pad(&mut bytes);
        bytes.extend(content);
        pad(&mut bytes);
        self.file.write_all(&bytes).context("can't write the initramfs")
    }
}

/// Header and name, and content, each fill whole words.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::Cpio;
    use std::{env, fs, process};

    #[test]
    fn an_archive_is_as_the_kernel_wants_it() {
        let path = env::temp_dir().join(format!("gracetrace-cpio-{}", process::id()));
        let mut archive = Cpio::create(&path).expect("an archive");
        archive.file("/a/b", b"hello").expect("a file");
        archive.finish().expect("an end");
        let bytes = fs::read(&path).expect("the archive");
        fs::remove_file(&path).expect("removed");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("070701000000010000"), "{text}");
        let names: Vec<&str> =
            ["a\0", "a/b\0", "hello", "TRAILER!!!\0"].into_iter().filter(|name| text.contains(name)).collect();
        assert_eq!(names.len(), 4, "{text}");
        assert_eq!(text.matches("070701").count(), 3);
        assert_eq!(bytes.len() % 4, 0);
    }
}
