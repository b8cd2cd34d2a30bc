//! Names of signals, as Linux on x86-64 and arm64 numbers them.

const NAMES: [&str; 32] = [
    "SIG0",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Interrupt from the keyboard.
pub const SIGINT: i32 = 2;
/// Quit from the keyboard.
pub const SIGQUIT: i32 = 3;
/// Kill, which cannot be caught.
pub const SIGKILL: i32 = 9;
/// Termination: Kubernetes' stop signal unless an image or pod says otherwise.
pub const SIGTERM: i32 = 15;
/// First real-time signal as glibc numbers them for users.
pub const SIGRTMIN: i32 = 34;
/// Last real-time signal.
pub const SIGRTMAX: i32 = 64;

/// `SIGTERM`, `SIGRTMIN+3`, or `SIG99` for a number without a name.
pub fn name(signal: i32) -> String {
    match usize::try_from(signal).ok().and_then(|index| NAMES.get(index)) {
        Some(known) if signal > 0 => (*known).to_owned(),
        _ if signal == SIGRTMIN => "SIGRTMIN".to_owned(),
        _ if (SIGRTMIN..=SIGRTMAX).contains(&signal) => format!("SIGRTMIN+{}", signal - SIGRTMIN),
        _ => format!("SIG{signal}"),
    }
}

/// The number behind `TERM`, `SIGTERM`, `15`, `RTMIN+3` or `SIGRTMIN+3`, in any case.
pub fn parse(text: &str) -> Option<i32> {
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=SIGRTMAX).contains(&number).then_some(number);
    }
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = bare.strip_prefix("RTMIN") {
        let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=SIGRTMAX - SIGRTMIN).contains(&offset).then_some(SIGRTMIN + offset);
    }
    if let Some(rest) = bare.strip_prefix("RTMAX") {
        let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse::<i32>().ok()? };
        return (0..=SIGRTMAX - SIGRTMIN).contains(&offset).then_some(SIGRTMAX - offset);
    }
    let index = NAMES.iter().skip(1).position(|known| known[3..] == *bare)?;
    i32::try_from(index + 1).ok()
}

/// Whether a process can catch it.
pub fn catchable(signal: i32) -> bool {
    !matches!(signal, SIGKILL | 19)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for signal in (1..=31).chain(SIGRTMIN..=SIGRTMAX) {
            assert_eq!(parse(&name(signal)), Some(signal), "{}", name(signal));
        }
    }

    #[test]
    fn reads_what_people_write() {
        for (text, signal) in [("term", 15), ("SIGQUIT", 3), ("9", 9), ("RTMIN+3", 37), ("sigrtmax-1", 63)] {
            assert_eq!(parse(text), Some(signal), "{text}");
        }
        for text in ["", "0", "65", "SIGNOPE", "RTMIN+99", "RTMIN3", "-1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
