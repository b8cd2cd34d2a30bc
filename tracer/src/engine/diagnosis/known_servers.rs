//! Servers that stop in one way on SIGTERM and in a better one on another signal: their own documentation's words.

use crate::report::Container;

/// What a server is called, what SIGTERM does to it, the other signal, and what that does.
const SERVERS: [(&str, &str, &str, &str); 6] = [
    ("nginx", "stops at once", "SIGQUIT", "drains"),
    ("haproxy", "stops at once", "SIGUSR1", "drains"),
    ("apache2", "stops at once", "SIGWINCH", "drains"),
    ("httpd", "stops at once", "SIGWINCH", "drains"),
    ("php-fpm", "stops at once", "SIGQUIT", "drains"),
    ("postgres", "waits until every client has left by itself", "SIGINT", "ends the sessions and stops"),
];

/// ` nginx stops at once on SIGTERM and drains on SIGQUIT: …`, if the main process is one of these and was sent SIGTERM.
pub(super) fn better_signal(container: &Container) -> Option<String> {
    let names = [container.init_exe.as_deref(), container.init_comm.as_deref()];
    let (name, on_term, signal, does) = SERVERS.iter().find(|(name, ..)| names.contains(&Some(*name)))?;
    container.stop.as_ref().filter(|stop| stop.signal == "SIGTERM")?;
    Some(format!(
        "{name} {on_term} on SIGTERM and {does} on {signal}: set `STOPSIGNAL {signal}` in the image, or lifecycle.stopSignal"
    ))
}
