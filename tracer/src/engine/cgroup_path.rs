//! The grammar of pod cgroup paths: which pod and which container a cgroup belongs to.
//!
//! Pure: strings in, facts out; nothing here looks at a file. The same strings stand in a v2 tree, in
//! a hybrid's `unified` and under each v1 controller.
//!
//! The grammar, read from left to right:
//!
//! - *pod*: a component that ends with `pod<uid>` (the whole component, or behind a `-`), written by
//!   the cgroupfs driver as `pod<8-4-4-4-12>` and by the systemd driver as `…-pod<8_4_4_4_12>.slice`;
//!   a static pod's uid is 32 hexadecimal digits. Whatever stands to its left (a custom root, the
//!   node container of kind or k3d) does not matter.
//! - *container*: the component right below the pod's: 64 hexadecimal digits, with or without a
//!   runtime's prefix and `.scope`. `crio-conmon-…` is the monitor's cgroup and no container.
//! - Deeper components (crun's `/container`, systemd or a container engine inside the container)
//!   belong to the container.
//! - Where the runtime has another cgroup driver than the kubelet, one component holds both:
//!   `kubepods-…-pod<uid>.slice:cri-containerd:<id>`. It is then the pod's and the container's.
//!
//! The *first* pod wins: what is nested inside a pod belongs to it, however it is named, as a
//! container may name the cgroups inside its own as it likes. On a machine that runs a cluster inside
//! containers (kind) that is still the right pod, as long as the node container itself is no pod.

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// The pod's uid with dashes; for a static pod the 32 hexadecimal digits of its configuration.
    pub uid: String,
    /// `Guaranteed`, `Burstable`, `BestEffort`; `None` if the path does not say.
    pub qos_class: Option<&'static str>,
    /// How many components (from the left) make up the pod's own cgroup.
    pub pod_depth: usize,
    /// The container, if the path goes that deep.
    pub container: Option<ContainerCgroup>,
}

/// The container part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerCgroup {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `containerd`, `cri-o`, `docker`, `podman`, where the path says so.
    pub runtime: Option<&'static str>,
    /// How many components (from the left) make up the container's own cgroup.
    pub depth: usize,
}

/// What stands before a container's id, and the runtime that writes it.
const RUNTIME_PREFIXES: [(&str, &str); 4] =
    [("cri-containerd", "containerd"), ("crio", "cri-o"), ("docker", "docker"), ("libpod", "podman")];

/// Length of a uid with dashes.
const UID_LEN: usize = 36;
/// Length of a static pod's uid, an MD5 sum.
const STATIC_UID_LEN: usize = 32;
/// Length of a container's id.
const CONTAINER_ID_LEN: usize = 64;

/// Reads a path below a hierarchy's root (`/kubepods.slice/…`); `None` if no pod is in it.
pub fn parse(path: &str) -> Option<PodCgroup> {
    let mut parent = "";
    let mut components = path.split('/').filter(|component| !component.is_empty()).enumerate();
    while let Some((index, component)) = components.next() {
        let (name, rest) = component.split_once(':').map_or((component, None), |(name, rest)| (name, Some(rest)));
        let Some((prefix, uid)) = pod(name) else {
            parent = component;
            continue;
        };
        let pod_depth = index + 1;
        let container = match rest {
            Some(rest) => container(rest, pod_depth),
            None => components.next().and_then(|(below, component)| container(component, below + 1)),
        };
        let qos_class = qos_class(if prefix.is_empty() { parent } else { prefix });
        return Some(PodCgroup { uid, qos_class, pod_depth, container });
    }
    None
}

/// Whether this is a container's id, and therefore safe as a file name.
pub fn is_container_id(text: &str) -> bool {
    text.len() == CONTAINER_ID_LEN && is_hex(text)
}

/// Whether this is a pod's uid as [`parse`] gives it, and therefore safe as a file name.
pub fn is_pod_uid(text: &str) -> bool {
    is_static_uid(text) || is_uid(text, b'-')
}

/// What stands before `pod<uid>` in a component, and the uid with dashes.
fn pod(name: &str) -> Option<(&str, String)> {
    // systemd nests slices at each dash, so its driver writes the uid's own as underscores
    let (stem, separator) = name.strip_suffix(".slice").map_or((name, b'-'), |stem| (stem, b'_'));
    [UID_LEN, STATIC_UID_LEN].into_iter().find_map(|length| {
        let (before, uid) = stem.split_at_checked(stem.len().checked_sub(length)?)?;
        if !is_uid(uid, separator) && !is_static_uid(uid) {
            return None;
        }
        let prefix = before.strip_suffix("pod")?;
        let whole = prefix.is_empty() || prefix.ends_with('-');
        whole.then(|| (prefix, uid.replace('_', "-")))
    })
}

fn container(component: &str, depth: usize) -> Option<ContainerCgroup> {
    let stem = component.strip_suffix(".scope").unwrap_or(component);
    let (before, id) = stem.split_at_checked(stem.len().checked_sub(CONTAINER_ID_LEN)?)?;
    if !is_container_id(id) {
        return None;
    }
    let runtime = match before {
        "" => None,
        prefix => {
            let bare = prefix.strip_suffix(['-', ':'])?;
            let (_, runtime) = RUNTIME_PREFIXES.iter().find(|(known, _)| *known == bare)?;
            Some(*runtime)
        }
    };
    Some(ContainerCgroup { id: id.to_owned(), runtime, depth })
}

/// From `kubepods-burstable-` (before the uid) or `burstable` (the component above).
fn qos_class(above: &str) -> Option<&'static str> {
    let above = above.strip_suffix(".slice").unwrap_or(above).trim_end_matches('-');
    match above.rsplit('-').next()? {
        "burstable" => Some("Burstable"),
        "besteffort" => Some("BestEffort"),
        "kubepods" => Some("Guaranteed"),
        _ => None,
    }
}

fn is_uid(text: &str, separator: u8) -> bool {
    text.len() == UID_LEN
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == separator,
            _ => is_hex_digit(byte),
        })
}

fn is_static_uid(text: &str) -> bool {
    text.len() == STATIC_UID_LEN && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(is_hex_digit)
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    const UID_: &str = "0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0";
    const OTHER: &str = "ffffffff-eeee-dddd-cccc-bbbbbbbbbbbb";
    const STATIC: &str = "a3f6c1d2e4b5968778695a4b3c2d1e0f";
    const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    /// `{uid}`, `{uid_}`, `{static}`, `{other}` and `{id}` stand for the constants above.
    fn fill(template: &str) -> String {
        template
            .replace("{uid}", UID)
            .replace("{uid_}", UID_)
            .replace("{static}", STATIC)
            .replace("{other}", OTHER)
            .replace("{id}", ID)
    }

    /// What is expected: `uid qos pod_depth` and, for a container, `runtime depth`; `-` for unknown.
    fn check(template: &str, expected: &str) {
        let found = parse(&fill(template)).map_or_else(
            || "none".to_owned(),
            |pod| {
                let container = pod.container.map_or_else(String::new, |container| {
                    assert_eq!(container.id, ID, "{template}");
                    format!(" {} {}", container.runtime.unwrap_or("-"), container.depth)
                });
                format!("{} {} {}{container}", pod.uid, pod.qos_class.unwrap_or("-"), pod.pod_depth)
            },
        );
        assert_eq!(found, fill(expected), "{template}");
    }

    #[test]
    fn systemd_driver() {
        let burstable = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice";
        check(burstable, "{uid} Burstable 3");
        check(&format!("{burstable}/cri-containerd-{{id}}.scope"), "{uid} Burstable 3 containerd 4");
        check(&format!("{burstable}/crio-{{id}}.scope"), "{uid} Burstable 3 cri-o 4");
        check(&format!("{burstable}/docker-{{id}}.scope"), "{uid} Burstable 3 docker 4");
        check(&format!("{burstable}/libpod-{{id}}.scope"), "{uid} Burstable 3 podman 4");
        check("/kubepods.slice/kubepods-pod{uid_}.slice/cri-containerd-{id}.scope", "{uid} Guaranteed 2 containerd 3");
        check(
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/cri-containerd-{id}.scope",
            "{uid} BestEffort 3 containerd 4",
        );
    }

    #[test]
    fn cgroupfs_driver() {
        check("/kubepods/burstable/pod{uid}", "{uid} Burstable 3");
        check("/kubepods/burstable/pod{uid}/{id}", "{uid} Burstable 3 - 4");
        check("/kubepods/besteffort/pod{uid}/crio-{id}", "{uid} BestEffort 3 cri-o 4");
        check("/kubepods/pod{uid}/{id}", "{uid} Guaranteed 2 - 3");
        check("kubepods/pod{uid}/{id}/", "{uid} Guaranteed 2 - 3");
        check("/nested/deeper/kubepods/pod{uid}/{id}", "{uid} Guaranteed 4 - 5");
        check("/pod{uid}/{id}", "{uid} - 1 - 2");
    }

    #[test]
    fn static_pods() {
        check("/kubepods/burstable/pod{static}/{id}", "{static} Burstable 3 - 4");
        check(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{static}.slice/cri-containerd-{id}.scope",
            "{static} Burstable 3 containerd 4",
        );
    }

    #[test]
    fn clusters_in_containers() {
        check(
            "/system.slice/docker-{id}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
            "{uid} Burstable 6 containerd 7",
        );
        check(
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/cri-containerd-{id}.scope",
            "{uid} Guaranteed 3 containerd 4",
        );
        check("/docker/{id}/kubelet/kubepods/besteffort/pod{uid}/{id}", "{uid} BestEffort 6 - 7");
    }

    #[test]
    fn drivers_that_disagree() {
        check(
            "/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{id}",
            "{uid} Burstable 3 containerd 3",
        );
        check("/kubepods-pod{uid_}.slice:crio:{id}/deeper/pod{other}", "{uid} Guaranteed 1 cri-o 1");
        check("/kubepods-pod{uid_}.slice:odd:{id}", "{uid} Guaranteed 1");
    }

    #[test]
    fn what_is_inside_a_container_belongs_to_it() {
        let container = "/kubepods/burstable/pod{uid}/{id}";
        for inside in
            ["container", "init.scope/x", "kubepods/pod{other}/{id}", "kubepods-pod{other}.slice", "{id}", "../../x"]
        {
            check(&format!("{container}/{inside}"), "{uid} Burstable 3 - 4");
        }
        check("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{id}.scope/container", "{uid} Guaranteed 2 cri-o 3");
        check("/kubepods/pod{uid}/pod{other}/{id}", "{uid} Guaranteed 2");
        check("/kubepods/pod{uid}/x/{id}", "{uid} Guaranteed 2");
    }

    #[test]
    fn no_container() {
        for below in
            ["crio-conmon-{id}.scope", "conmon", "x-{id}.scope", "{id}0", "-{id}", "../../x", "crio{id}", "é{id}"]
        {
            check(&format!("/kubepods/pod{{uid}}/{below}"), "{uid} Guaranteed 2");
        }
    }

    #[test]
    fn no_pod() {
        for path in [
            "",
            "/",
            "/system.slice/ssh.service",
            "/system.slice/crio-conmon-{id}.scope",
            "/docker/{id}",
            "/kubepods.slice/kubepods-burstable.slice",
            "/kubepods/burstable/pod",
            "/kubepods/burstable/pod{uid_}",
            "/kubepods.slice/kubepods-pod{uid}.slice",
            "/kubepods/notapod{uid}",
            "/kubepods/pod0{uid}",
            "/kubepods/pod{uid}.scope",
            "/kubepods/podF{static}",
            "/kubepods/pod../../x",
            "/libpod_parent/libpod-{id}",
            "/machine.slice/libpod_pod_{id}.slice/libpod-{id}.scope",
        ] {
            check(path, "none");
        }
    }

    fn hex(length: usize) -> impl Strategy<Value = String> {
        proptest::string::string_regex(&format!("[0-9a-f]{{{length}}}")).expect("a fixed pattern")
    }

    /// Any tail that a container could make inside its own cgroup.
    fn tail() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            Just(fill("/container")),
            Just(fill("/kubepods/pod{other}/{id}")),
            "(/[a-z.:_-]{1,12}){0,4}",
        ]
    }

    proptest! {
        #[test]
        fn never_panics_and_only_gives_safe_ids(path in any::<String>(), glue in "[-_:./a-fpod0-9]{0,200}") {
            for path in [path.clone(), glue.clone(), fill(&format!("/{path}/kubepods/pod{{uid}}/{glue}")), fill(&format!("{glue}pod{{uid}}{path}"))] {
                if let Some(pod) = parse(&path) {
                    prop_assert!(is_pod_uid(&pod.uid));
                    prop_assert!(pod.pod_depth > 0);
                    if let Some(container) = pod.container {
                        prop_assert!(is_container_id(&container.id));
                        prop_assert!(container.depth >= pod.pod_depth);
                    }
                }
            }
        }

        #[test]
        fn reads_what_the_drivers_write(
            hex in hex(32), id in hex(64), fixed in any::<bool>(), qos in 0..3_usize, runtime in 0..4_usize, systemd in any::<bool>(), root in "(/[a-z]{1,8}){0,3}", tail in tail(),
        ) {
            let (qos_class, level) = [("Guaranteed", ""), ("Burstable", "burstable"), ("BestEffort", "besteffort")][qos];
            let (prefix, name) = RUNTIME_PREFIXES[runtime];
            let uid = if fixed { hex } else { format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]) };
            let dash = if level.is_empty() { "" } else { "-" };
            let pod = match (systemd, level) {
                (true, "") => format!("{root}/kubepods.slice/kubepods-pod{}.slice", uid.replace('-', "_")),
                (true, level) => format!("{root}/kubepods.slice/kubepods{dash}{level}.slice/kubepods-{level}-pod{}.slice", uid.replace('-', "_")),
                (false, "") => format!("{root}/kubepods/pod{uid}"),
                (false, level) => format!("{root}/kubepods/{level}/pod{uid}"),
            };
            let pod_depth = pod.matches('/').count();
            let scope = if systemd { ".scope" } else { "" };
            let expected = PodCgroup { uid, qos_class: Some(qos_class), pod_depth, container: None };
            prop_assert_eq!(parse(&pod), Some(expected.clone()));
            let container = ContainerCgroup { id: id.clone(), runtime: Some(name), depth: pod_depth + 1 };
            prop_assert_eq!(parse(&format!("{pod}/{prefix}-{id}{scope}{tail}")), Some(PodCgroup { container: Some(container), ..expected }));
        }
    }
}
