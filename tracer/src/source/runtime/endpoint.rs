//! Where a container runtime listens, and in one line why it does not.

use super::cri::{Cri, CriError};
use crate::text;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Where runtimes usually listen, the likeliest first.
pub(super) const USUAL: [&str; 6] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/var/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// A unix socket of a container runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    path: PathBuf,
}

impl Endpoint {
    /// From `unix:///path`, `unix:/path` or `/path`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') && !path.contains('\0') {
            return Ok(Self { path: PathBuf::from(path) });
        }
        Err(format!(
            "runtime endpoint {}: not a unix socket's absolute path; give one like unix://{}",
            text::clean(text),
            USUAL[0]
        ))
    }

    /// The socket's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Something is there.
    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Whether a CRI answers, and which: `containerd v1.6.20`; otherwise what, why, and what to do.
    pub(super) async fn check(&self) -> Result<String, String> {
        self.reach().await.map_err(|why| format!("runtime endpoint {self}: {why}"))?;
        let version = Cri::new(self).version().await.map_err(|error| {
            let why = match error {
                CriError::Unimplemented => {
                    "answers, but not as a CRI v1; enable the runtime's CRI plugin, or give the kubelet's own endpoint"
                        .to_owned()
                }
                CriError::Silent => "accepts connections but does not answer; is the runtime stuck?".to_owned(),
                CriError::Failed(why) => format!("does not speak the CRI ({why}); give the kubelet's own endpoint"),
            };
            format!("runtime endpoint {self}: {why}")
        })?;
        Ok(version.to_string())
    }

    /// Whether one can connect at all.
    async fn reach(&self) -> Result<(), String> {
        let metadata = tokio::fs::metadata(&self.path).await.map_err(|error| explain(&error))?;
        if !metadata.file_type().is_socket() {
            return Err("not a socket; give the socket that the kubelet uses (its --container-runtime-endpoint)".into());
        }
        UnixStream::connect(&self.path).await.map_err(|error| explain(&error))?;
        Ok(())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", text::clean(&self.path.to_string_lossy()))
    }
}

fn explain(error: &std::io::Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "std's list is open; the rest speaks for itself")]
    match error.kind() {
        ErrorKind::NotFound => {
            "no such file; start the container runtime, or give its socket with --runtime-endpoint".into()
        }
        ErrorKind::PermissionDenied => "permission denied; run gracetrace as root or as the socket's group".into(),
        ErrorKind::ConnectionRefused => "connection refused; the container runtime is not running, start it".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    #[test]
    fn reads_what_people_give() {
        for text in ["unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"] {
            assert_eq!(Endpoint::parse(text).map(|endpoint| endpoint.to_string()), Ok("unix:///run/x.sock".into()));
        }
        for text in ["", "unix://", "tcp://1.2.3.4:5", "run/x.sock", "http://x", "/a\0b", "npipe:////./pipe\n"] {
            let error = Endpoint::parse(text).expect_err(text);
            assert!(error.contains("give one like unix:///run/") && !error.contains('\n'), "{error}");
        }
    }

    async fn check(path: &Path, expected: &str) {
        let endpoint = Endpoint::parse(&path.to_string_lossy()).expect("a path");
        let error = endpoint.check().await.expect_err(expected);
        assert!(error.starts_with(&format!("runtime endpoint {endpoint}: ")), "{error}");
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }

    #[tokio::test]
    async fn says_why_it_does_not_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        check(&folder.path().join("absent.sock"), "no such file; start").await;

        let file = folder.path().join("file.sock");
        std::fs::write(&file, "").expect("a file");
        check(&file, "not a socket; give").await;

        let closed = folder.path().join("closed.sock");
        drop(UnixListener::bind(&closed).expect("a socket"));
        check(&closed, "connection refused; the container runtime is not running").await;

        let silent = folder.path().join("silent.sock");
        let _listener = UnixListener::bind(&silent).expect("a socket");
        check(&silent, "does not answer").await;
    }

    #[tokio::test]
    async fn says_that_something_else_answers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("http.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            }
        });
        check(&path, "does not speak the CRI").await;
        server.abort();
    }
}
