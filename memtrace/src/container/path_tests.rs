//! All forms of cgroup paths of runtimes, kubelets and systemd, and paths that only look similar.

use proptest::prelude::*;

use super::{name, own};

const ID: &str = "2a5d4ad6ed4b8bd0ba5d9d7e5bd6b6b0c1f0a3b2c4d5e6f708192a3b4c5d6e7f";
const OUTER: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
const UID: &str = "d1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f";
const SLICED: &str = "d1b6a9c8_5a0e_4a7e_9a63_0a1b2c3d4e5f";
const STATIC: &str = "7260904bbd08e72e4dff95d9fccd2ee8";

/// The names in a path: pod uid, container id, runtime, unit.
type Said<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn check(path: &str, expected: Said<'_>) {
    let name = name(path.as_bytes()).unwrap_or_default();
    let said = (
        name.pod_uid.as_deref(),
        name.container_id.as_deref(),
        name.runtime.as_deref(),
        name.unit.as_deref(),
    );
    assert_eq!(said, expected, "{path}");
}

#[test]
fn containers_of_pods() {
    let cri = Some("containerd");
    let sliced = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICED}.slice");
    for (path, uid, runtime) in [
        // The kubelet with the cgroupfs driver.
        (format!("/kubepods/burstable/pod{UID}/{ID}"), UID, None),
        (format!("/kubepods/besteffort/pod{UID}/{ID}"), UID, None),
        (format!("/kubepods/pod{UID}/{ID}"), UID, None),
        (format!("/kubepods/burstable/pod{STATIC}/{ID}"), STATIC, None),
        (format!("/kubepods/besteffort/pod{UID}/crio-{ID}"), UID, Some("cri-o")),
        // With the systemd driver.
        (format!("{sliced}/cri-containerd-{ID}.scope"), UID, cri),
        (format!("/kubepods.slice/kubepods-pod{SLICED}.slice/cri-containerd-{ID}.scope"), UID, cri),
        (format!("{sliced}/crio-{ID}.scope"), UID, Some("cri-o")),
        (format!("{sliced}/docker-{ID}.scope"), UID, Some("docker")),
        (format!("/kubepods.slice/kubepods-pod{STATIC}.slice/crio-{ID}.scope"), STATIC, Some("cri-o")),
        // The kubelet with the systemd driver, runc with cgroupfs.
        (
            format!(
                "/system.slice/containerd.service/kubepods-besteffort-pod{SLICED}.slice:cri-containerd:{ID}"
            ),
            UID,
            cri,
        ),
        // A node that is itself a container.
        (
            format!(
                "/docker/{OUTER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
                 kubelet-kubepods-besteffort-pod{SLICED}.slice/cri-containerd-{ID}.scope"
            ),
            UID,
            cri,
        ),
        (format!("/system.slice/docker-{OUTER}.scope/kubepods/burstable/pod{UID}/{ID}"), UID, None),
        // A path above the cgroup namespace.
        (format!("/../../kubepods/burstable/pod{UID}/{ID}"), UID, None),
        // Processes below the container's cgroup.
        (format!("{sliced}/cri-containerd-{ID}.scope/init"), UID, cri),
        (format!("{sliced}/crio-{ID}.scope/container"), UID, Some("cri-o")),
        (format!("{sliced}/cri-containerd-{ID}.scope/system.slice/nginx.service"), UID, cri),
    ] {
        check(&path, (Some(uid), Some(ID), runtime, None));
    }
}

#[test]
fn containers_without_a_pod() {
    let user = "/user.slice/user-1000.slice/user@1000.service/user.slice";
    for (path, id, runtime) in [
        (format!("/system.slice/docker-{ID}.scope"), ID, Some("docker")),
        (format!("/docker/{ID}"), ID, Some("docker")),
        (format!("/docker/{OUTER}/docker/{ID}"), ID, Some("docker")),
        (format!("/docker/{ID}/kubelet.slice/kubelet.service"), ID, Some("docker")),
        (format!("/custom-parent/{ID}"), ID, None),
        (format!("/ecs/0123456789abcdef/{ID}"), ID, None),
        (format!("/machine.slice/libpod-{ID}.scope"), ID, Some("podman")),
        (format!("/machine.slice/libpod-{ID}.scope/container"), ID, Some("podman")),
        (format!("/machine.slice/machine-libpod_pod_{OUTER}.slice/libpod-{ID}.scope"), ID, Some("podman")),
        (format!("{user}/libpod-{ID}.scope/container"), ID, Some("podman")),
        (format!("/libpod_parent/libpod-{ID}"), ID, Some("podman")),
        (format!("/crio/crio-{ID}"), ID, Some("cri-o")),
        (format!("/system.slice/nerdctl-{ID}.scope"), ID, Some("containerd")),
        (format!("/system.slice/other-{ID}.scope"), ID, None),
        ("/k8s.io/t1".to_owned(), "t1", Some("containerd")),
        ("/default/redis".to_owned(), "redis", Some("containerd")),
        (format!("/default/{ID}"), ID, None),
    ] {
        check(&path, (None, Some(id), runtime, None));
    }
    for path in ["/lxc/web", "/lxc.payload.web", "/lxc.payload.web/system.slice/x.service"] {
        let name = name(path.as_bytes()).unwrap();
        assert_eq!((name.container.as_deref(), name.runtime.as_deref()), (Some("web"), Some("lxc")));
    }
}

#[test]
fn what_is_below_the_outermost_container_or_a_users_manager_is_a_claim() {
    let sliced = format!("/kubepods.slice/kubepods-pod{SLICED}.slice/cri-containerd-{ID}.scope");
    for (made, claimed) in [
        (format!("/kubepods/burstable/pod{UID}/{ID}"), format!("/kubepods/pod{UID}/{OUTER}")),
        (sliced, "/init".to_owned()),
        (format!("/docker/{OUTER}"), format!("/docker/{ID}")),
        (format!("/system.slice/docker-{OUTER}.scope"), format!("/kubepods/burstable/pod{UID}/{ID}")),
        ("/lxc.payload.web".to_owned(), format!("/docker/{ID}")),
        ("/user.slice/user-1000.slice/user@1000.service".to_owned(), format!("/libpod-{ID}.scope")),
        // A pod of podman is not a container.
        (format!("/libpod_parent/{OUTER}/libpod-{ID}"), "/x".to_owned()),
        (format!("/kubepods/burstable/pod{UID}"), String::new()),
        ("/system.slice/redis.service/workers/3".to_owned(), String::new()),
        ("/".to_owned(), String::new()),
    ] {
        let path = format!("{made}{claimed}");
        assert_eq!(String::from_utf8_lossy(own(path.as_bytes())), made);
    }
}

#[test]
fn a_pods_own_cgroup_is_no_container() {
    let slice = format!("kubelet-kubepods-besteffort-pod{SLICED}.slice");
    check(&format!("/kubepods/burstable/pod{UID}"), (Some(UID), None, None, None));
    check(&format!("/docker/{OUTER}/kubelet.slice/{slice}"), (Some(UID), None, None, Some(&slice)));
}

#[test]
fn units() {
    for (path, unit) in [
        ("/system.slice/redis.service", "redis.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-code-42.scope", "app-code-42.scope"),
        ("/system.slice/redis.service/workers/3", "redis.service"),
        ("/system.slice/a\\x2db.service", "a\\\\x2db.service"),
        ("/init.scope", "init.scope"),
        ("/system.slice", "system.slice"),
    ] {
        check(path, (None, None, None, Some(unit)));
    }
}

#[test]
fn what_only_looks_like_a_container() {
    let mount = format!("var-lib-docker-overlay2-{ID}-merged.mount");
    check(&format!("/system.slice/{mount}"), (None, None, None, Some(&mount)));
    let mount = format!("run-docker-{ID}.mount");
    check(&format!("/system.slice/{mount}"), (None, None, None, Some(&mount)));
    let slice = format!("kubepods-pod{SLICED}.slice");
    let conmon = format!("crio-conmon-{ID}.scope");
    check(&format!("/kubepods.slice/{slice}/{conmon}"), (Some(UID), None, None, Some(&conmon)));
    let conmon = format!("libpod-conmon-{ID}.scope");
    check(&format!("/machine.slice/{conmon}"), (None, None, None, Some(&conmon)));
    for path in [
        "/",
        "",
        "/foo",
        "/podman",
        "/kubepods",
        "/kubepods/burstable",
        "/kubepods/podnot-a-uid",
        "/lxc.monitor.web",
        &format!("/thing-{ID}"),
        &format!("/{}", &ID[1..]),
        &format!("/{}", ID.to_uppercase()),
        &format!("/libpod-conmon-{ID}"),
        "/.scope",
        "/kubepods/pod",
    ] {
        assert_eq!(name(path.as_bytes()), None, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Arbitrary paths of meaningful parts and random bytes: no panic, and everything is escaped.
    #[test]
    fn any_path_is_read_and_escaped(parts in prop::collection::vec(
        prop_oneof![
            Just(b"/".to_vec()), Just(b"-pod".to_vec()), Just(b".slice".to_vec()), Just(b":".to_vec()),
            Just(ID.as_bytes().to_vec()), Just(b".scope".to_vec()), Just(b"crio-".to_vec()),
            Just(b"/k8s.io/".to_vec()), Just(UID.as_bytes().to_vec()), Just(b"/lxc.payload.".to_vec()),
            prop::collection::vec(any::<u8>(), 0..12),
        ], 0..12)) {
        let path = parts.concat();
        prop_assert!(path.starts_with(own(&path)));
        prop_assert_eq!(own(own(&path)), own(&path));
        if let Some(name) = name(&path) {
            let text = format!("{:?}{:?}{:?}", name.unit, name.container, name.container_id);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
