//! Cleans text from the outside once, where it enters: `comm`, names, labels, paths.
//!
//! Sinks still escape for their own format; this takes out what no format should ever carry.

/// Without control characters (C0, C1, DEL) and without marks that reorder or hide text; each
/// replaced by U+FFFD.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if unfit(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// From bytes that should be UTF-8, up to the first NUL.
pub fn clean_bytes<S: From<String> + for<'a> From<&'a str>>(bytes: &[u8]) -> S {
    let plain = bytes.iter().take_while(|byte| (b' '..=b'~').contains(*byte)).count();
    if bytes.get(plain).is_none_or(|byte| *byte == 0)
        && let Ok(text) = str::from_utf8(&bytes[..plain])
    {
        // nearly always
        return S::from(text);
    }
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    S::from(clean(&String::from_utf8_lossy(&bytes[..end])))
}

fn unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_control_and_bidi_characters() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c\n"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}");
        assert_eq!(clean("wëb-1"), "wëb-1");
    }

    #[test]
    fn stops_at_nul_and_survives_bad_utf8() {
        assert_eq!(clean_bytes::<String>(b"runc\0garbage"), "runc");
        assert_eq!(clean_bytes::<String>(b"a b\x1b\x7f"), "a b\u{fffd}\u{fffd}");
        assert_eq!(clean_bytes::<String>(b"\xff\xfeok"), "\u{fffd}\u{fffd}ok");
    }
}
