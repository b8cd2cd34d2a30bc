//! What a value on the command line may look like; each refusal is one line that says why.

use crate::signal;
use jiff::fmt::friendly::{Spacing, SpanParser, SpanPrinter};
use std::time::Duration;

/// Longest duration that makes sense for a termination, and keeps arithmetic on times far from its ends.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Smallest and largest ring buffer in bytes.
const RING_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;

/// A pod's name: an RFC 1123 subdomain.
pub(super) fn pod_name(text: &str) -> Result<String, String> {
    rfc1123(text, "a pod name", 253, true)
}

/// A namespace: an RFC 1123 label.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    rfc1123(text, "a namespace", 63, false)
}

fn rfc1123(text: &str, what: &str, longest: usize, dots: bool) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{what} cannot be empty"));
    }
    if text.len() > longest {
        return Err(format!("{what} cannot be longer than {longest} characters"));
    }
    for c in text.chars() {
        match c {
            'a'..='z' | '0'..='9' | '-' => {}
            '.' if dots => {}
            'A'..='Z' => return Err(format!("{what} cannot contain upper-case letters")),
            '/' => return Err(format!("{what} cannot contain '/': give the namespace with -n NAMESPACE")),
            other => return Err(format!("{what} cannot contain {other:?}")),
        }
    }
    if text.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-')) {
        let ends = if dots { "letters or digits, around each dot as well" } else { "a letter or digit" };
        return Err(format!("{what} must begin and end with {ends}"));
    }
    Ok(text.to_owned())
}

/// A duration as Go writes it (`60s`, `1m30s`, `1.5s`, `500ms`), above zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("must be above zero".to_owned()),
        some => Ok(some),
    }
}

/// A duration as Go writes it, or none at all: `0`, `0s`.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("cannot be negative".to_owned());
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.parse::<f64>().is_ok() {
        return Err(format!("has no unit: write {text}s for seconds"));
    }
    let parsed = SpanParser::new().parse_unsigned_duration(text);
    let parsed = parsed.map_err(|_| "is no duration: write it like 30s, 1m30s, 1.5s or 500ms".to_owned())?;
    if parsed > LONGEST {
        return Err("is longer than a year".to_owned());
    }
    Ok(parsed)
}

/// A duration as Go would write it.
pub fn duration_text(duration: &Duration) -> String {
    SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(duration)
}

/// A signal that a process can act on.
pub(super) fn stop_signal(text: &str) -> Result<i32, String> {
    let number = signal::parse(text).ok_or("is no signal: write it like SIGTERM, QUIT, RTMIN+3 or 15")?;
    if !signal::catchable(number) {
        return Err(format!("{} cannot be caught, so nothing can stop gracefully on it", signal::name(number)));
    }
    Ok(number)
}

/// A size of the ring buffer in bytes: `8388608`, `512KiB`, `8MiB`, `8Mi`, `8MB`.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    let bytes = size(text).ok_or("is no size: write it like 8MiB, 512KiB or 8388608")?;
    let fits = RING_BYTES.contains(&bytes).then(|| u32::try_from(bytes).ok()).flatten();
    fits.ok_or_else(|| "must be between 64KiB and 1GiB".to_owned())
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "KiB" | "Ki" | "K" | "k" => 1 << 10,
        "MiB" | "Mi" | "M" => 1 << 20,
        "GiB" | "Gi" | "G" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kubernetes_takes() {
        for name in ["web", "web-7c9f-x2x", "0", "a.b-c.d", &"x".repeat(253)] {
            assert_eq!(pod_name(name), Ok(name.to_owned()));
        }
        for (name, reason) in [
            ("", "cannot be empty"),
            ("Web", "upper-case"),
            ("shop/web", "-n NAMESPACE"),
            ("we_b", "'_'"),
            ("wéb", "'é'"),
            ("we\u{1b}b", "'\\u{1b}'"),
            ("-web", "begin and end"),
            ("web-", "begin and end"),
            ("a..b", "begin and end"),
            ("a.-b", "begin and end"),
            (&"x".repeat(254), "longer than 253"),
        ] {
            let error = pod_name(name).expect_err(name);
            assert!(error.contains(reason), "{name}: {error}");
        }
        assert_eq!(namespace("kube-system"), Ok("kube-system".to_owned()));
        assert!(namespace("a.b").is_err());
        assert!(namespace(&"x".repeat(64)).is_err());
    }

    #[test]
    fn durations_are_go_s() {
        for (text, ms) in [
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2h", 7_200_000),
            ("1h2m3s", 3_723_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, reason) in [
            ("", "no duration"),
            ("5", "write 5s"),
            ("1.5", "write 1.5s"),
            ("-5s", "negative"),
            ("0s", "above zero"),
            ("0", "above zero"),
            ("soon", "no duration"),
            ("9999999h", "a year"),
            ("99999999999999999999h", "no duration"),
        ] {
            let error = duration(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(duration_or_zero("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["60s", "1m30s", "500ms", "5s"] {
            let read = duration(text).expect(text);
            assert_eq!(duration(&duration_text(&read)), Ok(read), "{text}");
        }
        assert_eq!(duration_text(&Duration::from_secs(5)), "5s");
    }

    #[test]
    fn sizes_are_human() {
        for (text, bytes) in [
            ("8MiB", 8 << 20),
            ("512KiB", 512 << 10),
            ("8388608", 8 << 20),
            ("1Gi", 1 << 30),
            ("8 MiB", 8 << 20),
            ("8MB", 8_000_000),
        ] {
            assert_eq!(ring_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "8XB", "1KiB", "2GiB", "99999999999999999999", "18446744073709551615GiB"] {
            assert!(ring_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stop_signals_can_be_caught() {
        assert_eq!(stop_signal("sigquit"), Ok(3));
        assert_eq!(stop_signal("RTMIN+3"), Ok(37));
        assert!(stop_signal("KILL").is_err());
        assert!(stop_signal("SIGSTOP").is_err());
        assert!(stop_signal("NOPE").is_err());
    }
}
