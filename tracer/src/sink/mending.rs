//! Where reports are written that may take nothing for a while: a full disk.

use std::io::{self, ErrorKind, Write};

/// What comes after a report that was cut begins on a line of its own: who reads line by line loses the one that was cut and no other.
#[derive(Debug)]
pub struct Mending<W> {
    out: W,
    /// The last that was taken was not the end of a line.
    within_line: bool,
    /// The rest of that line will not come.
    is_cut: bool,
}

impl<W: Write> Mending<W> {
    /// Into `out`, which is at the beginning of a line.
    pub fn new(out: W) -> Self {
        Self { out, within_line: false, is_cut: false }
    }
}

impl<W: Write> Write for Mending<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_cut {
            self.out.write_all(b"\n")?;
            (self.is_cut, self.within_line) = (false, false);
        }
        let taken = self.out.write(bytes);
        match &taken {
            Ok(count) if *count > 0 => self.within_line = bytes[count - 1] != b'\n',
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => self.is_cut = self.within_line,
        }
        taken
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then nothing until there is room again.
    struct Disk {
        content: Vec<u8>,
        room: usize,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 && !bytes.is_empty() {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.content.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_follows_a_cut_line_is_whole() {
        for (room, expected) in
            [(4, "abc\n1\n2\n"), (5, "abc\nd\n1\n2\n"), (7, "abc\ndef\n1\n2\n"), (8, "abc\ndef\n1\n2\n")]
        {
            let mut disk = Disk { content: Vec::new(), room };
            let mut out = Mending::new(&mut disk);
            out.write_all(b"abc\n").expect("there is room");
            assert_eq!(out.write_all(b"def\n").is_ok(), room == 8, "{room}");
            out.out.room = 100;
            out.write_all(b"1\n").expect("there is room again");
            out.write_all(b"2\n").expect("and still");
            assert_eq!(String::from_utf8_lossy(&disk.content), expected, "{room}");
        }
    }
}
