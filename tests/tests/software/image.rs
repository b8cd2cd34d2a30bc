//! The images: one file system of Debian packages, and on it as many images as there are ways to start them.

use gracetrace_tests::node::{Image, Node, Packages};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What runs in the pods; `dash` is their `/bin/sh`.
const WANTED: [&str; 9] =
    ["nginx", "redis-server", "postgresql", "haproxy", "python3", "gunicorn", "nodejs", "busybox", "dash"];

/// For maintainer scripts, other languages and `PostgreSQL`'s JIT: most of the size, and nothing here runs it.
const WITHOUT: [&str; 10] =
    ["libllvm", "libz3", "perl", "libperl", "locales", "libc-l10n", "dpkg", "iproute2", "openssl", "usrmerge"];

pub(crate) const NGINX: &str = "gracetrace.test/nginx:1";
pub(crate) const NGINX_QUIT: &str = "gracetrace.test/nginx-quit:1";
pub(crate) const NGINX_SHELL_FORM: &str = "gracetrace.test/nginx-shell-form:1";
pub(crate) const NGINX_SCRIPT: &str = "gracetrace.test/nginx-script:1";
pub(crate) const HAPROXY: &str = "gracetrace.test/haproxy:1";
pub(crate) const HAPROXY_USR1: &str = "gracetrace.test/haproxy-usr1:1";
pub(crate) const REDIS: &str = "gracetrace.test/redis:1";
pub(crate) const POSTGRES: &str = "gracetrace.test/postgres:1";
pub(crate) const POSTGRES_INT: &str = "gracetrace.test/postgres-int:1";
pub(crate) const PYTHON: &str = "gracetrace.test/python:1";
pub(crate) const GUNICORN: &str = "gracetrace.test/gunicorn:1";
pub(crate) const NODE: &str = "gracetrace.test/node:1";
pub(crate) const NODE_GRACEFUL: &str = "gracetrace.test/node-graceful:1";
pub(crate) const BUSYBOX: &str = "gracetrace.test/busybox:1";

fn images() -> Vec<Image> {
    let nginx = json!(["nginx", "-g", "daemon off;"]);
    let haproxy = json!(["haproxy", "-W", "-db", "-f", "/srv/haproxy.cfg"]);
    let redis =
        json!(["redis-server", "--port", "8080", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp"]);
    let gunicorn = json!(["gunicorn", "--bind", "0.0.0.0:8080", "--workers", "2", "--chdir", "/srv", "app:app"]);
    let image = |tag, entry: &Value, more: Value| {
        let mut config = json!({"Entrypoint": entry, "Env": ["PATH=/usr/sbin:/usr/bin"]});
        if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
            config.extend(more.clone());
        }
        Image { tag, config }
    };
    vec![
        image(NGINX, &nginx, json!({})),
        // the official image's choice
        image(NGINX_QUIT, &nginx, json!({"StopSignal": "SIGQUIT"})),
        // what `CMD nginx -g 'daemon off;'` in a Dockerfile becomes
        image(NGINX_SHELL_FORM, &json!(["/bin/sh", "-c", "nginx -g 'daemon off;'"]), json!({})),
        image(NGINX_SCRIPT, &json!(["/srv/entrypoint.sh"]), json!({})),
        image(HAPROXY, &haproxy, json!({"User": "haproxy"})),
        // the official image's choice
        image(HAPROXY_USR1, &haproxy, json!({"User": "haproxy", "StopSignal": "SIGUSR1"})),
        image(REDIS, &redis, json!({"User": "redis"})),
        image(POSTGRES, &json!(["/srv/postgres.sh"]), json!({"User": "postgres"})),
        // the official image's choice
        image(POSTGRES_INT, &json!(["/srv/postgres.sh"]), json!({"User": "postgres", "StopSignal": "SIGINT"})),
        image(PYTHON, &json!(["python3", "-m", "http.server", "8080", "--directory", "/srv/www"]), json!({})),
        image(GUNICORN, &gunicorn, json!({})),
        image(NODE, &json!(["node", "/srv/server.js"]), json!({})),
        image(NODE_GRACEFUL, &json!(["node", "/srv/graceful.js"]), json!({})),
        image(BUSYBOX, &json!(["busybox", "httpd", "-f", "-p", "8080", "-h", "/srv/www"]), json!({})),
    ]
}

/// Files of ours: where in the image, and what. `@BACKEND@` in them is the address of the server outside.
const FILES: [(&str, &str); 9] = [
    ("etc/passwd", include_str!("files/passwd")),
    ("etc/group", include_str!("files/group")),
    ("etc/nginx/nginx.conf", include_str!("files/nginx.conf")),
    ("srv/haproxy.cfg", include_str!("files/haproxy.cfg")),
    ("srv/app.py", include_str!("files/app.py")),
    ("srv/server.js", include_str!("files/server.js")),
    ("srv/graceful.js", include_str!("files/graceful.js")),
    ("srv/postgres.sh", include_str!("files/postgres.sh")),
    ("srv/entrypoint.sh", include_str!("files/entrypoint.sh")),
];

/// How the last line of everything that is served reads.
pub(crate) const THE_END: &str = "the end\n";

/// Makes the images and gives them to the node.
pub(crate) fn import(node: &Node, target: &Path, backend: SocketAddr) -> anyhow::Result<()> {
    let folder = node.scratch().join("files");
    for (path, content) in FILES {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        fs::write(&path, content.replace("@BACKEND@", &backend.to_string()))?;
        let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    for (name, padding) in [("small.txt", 0), ("large.bin", 900_000), ("huge.bin", 16_000_000)] {
        fs::create_dir_all(folder.join("srv/www"))?;
        fs::write(folder.join("srv/www").join(name), format!("{}{THE_END}", ".".repeat(padding)))?;
    }
    fs::create_dir_all(folder.join("run"))?;
    fs::create_dir_all(folder.join("tmp"))?;
    fs::set_permissions(folder.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    let packages = Packages { wanted: &WANTED, without: &WITHOUT, cache: &target.join("software") };
    node.import(&packages, &folder, &images())
}
