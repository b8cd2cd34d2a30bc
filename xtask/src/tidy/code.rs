//! Rust source with comments and literals blanked, so that a check sees code only.
//!
//! Not a parser: it knows just enough of the lexical rules to tell the three apart. Lines stay lines.

/// The text with everything in comments, strings and character literals turned into spaces.
pub(super) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest, code.chars().next_back());
        if length > 0 {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

/// Length in bytes of the literal or comment that `rest` opens with, or 0.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if rest.starts_with('"') {
        return quoted(rest);
    }
    let begins_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if begins_word && let Some(raw) = rest.strip_prefix('r').or_else(|| rest.strip_prefix("br")) {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        if raw[hashes..].starts_with('"') {
            let opened = rest.len() - raw.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), opened);
        }
    }
    if rest.starts_with('\'') { character(rest) } else { 0 }
}

/// Length of the string that `rest` opens with.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of the character literal that `rest` opens with; 0 if it is a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |at| 3 + at + 1),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::code_of;

    fn check(text: &str, code: &str) {
        let squeezed = code_of(text).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, code, "{text}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a c");
        check("a /* b\n */ c", "a c");
        check(r#"f("x \" // y", z)"#, "f( , z)");
        check(r##"f(r#"a "b" c"#, d)"##, "f( , d)");
        check("f('\"', b, '\\'', c)", "f( , b, , c)");
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check("let s = \"open", "let s =");
    }

    #[test]
    fn lines_stay_lines() {
        let text = "a\n/* b\nc */\n\"d\ne\"\nf";
        assert_eq!(code_of(text).lines().count(), text.lines().count());
    }
}
