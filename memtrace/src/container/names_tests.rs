//! Names by cgroup: filled in, kept after death, forgotten in time; any bytes.

use super::*;

const ID: &str = "2a5d4ad6ed4b8bd0ba5d9d7e5bd6b6b0c1f0a3b2c4d5e6f708192a3b4c5d6e7f";
const UID: &str = "d1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f";
const OTHER: &str = "00000000-5a0e-4a7e-9a63-0a1b2c3d4e5f";
const MINUTE: u64 = 60_000_000_000;

fn container_path() -> Vec<u8> {
    format!("/kubepods/burstable/pod{UID}/{ID}").into_bytes()
}

fn named() -> Name {
    Name {
        namespace: Some("shop".into()),
        pod: Some("cart-0".into()),
        pod_uid: Some(UID.into()),
        container: Some("redis".into()),
        source: Some("oci bundle".into()),
        ..Name::default()
    }
}

#[test]
fn a_name_reaches_the_container_what_is_below_it_and_its_pod() {
    let mut registry = Registry::default();
    registry.born(7, &container_path());
    assert_eq!(registry.of(7).unwrap().source.unwrap(), "path");
    assert_eq!(registry.nameless(), 1);
    registry.container(ID, named(), 0);
    assert_eq!(registry.nameless(), 0);
    let below = [&container_path()[..], b"/init"].concat();
    for path in [container_path(), below] {
        let name = registry.of_path(&path).unwrap();
        assert_eq!(name.label().unwrap(), "shop/cart-0/redis");
        assert_eq!(name.source.unwrap(), "oci bundle");
    }
    let pod = registry.of_path(format!("/kubepods/burstable/pod{UID}").as_bytes()).unwrap();
    assert_eq!(pod.label().unwrap(), "shop/cart-0");
}

#[test]
fn two_pods_of_one_name_are_told_apart() {
    let mut registry = Registry::default();
    registry.container(ID, named(), 0);
    let name = registry.of_path(format!("/kubepods/pod{OTHER}").as_bytes()).unwrap();
    assert_eq!((name.pod, name.pod_uid.as_deref()), (None, Some(OTHER)));
}

#[test]
fn a_later_source_adds_and_does_not_overwrite() {
    let mut registry = Registry::default();
    registry.container(ID, named(), 0);
    let more = Name { restart: Some(3), pod: Some("wrong".into()), source: Some("cri".into()), ..named() };
    registry.container(ID, more, 1);
    let name = registry.of_path(&container_path()).unwrap();
    assert_eq!(
        (name.restart, name.pod.as_deref(), name.source.as_deref()),
        (Some(3), Some("cart-0"), Some("oci bundle"))
    );
}

#[test]
fn names_outlive_their_cgroup_for_ten_minutes() {
    let mut registry = Registry::default();
    registry.born(7, &container_path());
    registry.container(ID, named(), 0);
    // It lives for an hour, and no source lists it again.
    registry.prune(60 * MINUTE);
    registry.died(7, 60 * MINUTE);
    registry.prune(69 * MINUTE);
    assert_eq!(registry.of(7).unwrap().container.unwrap(), "redis");
    assert_eq!(registry.id(&container_path()), None);
    registry.prune(71 * MINUTE);
    assert_eq!(registry.of(7), None);
    registry.prune(81 * MINUTE);
    assert_eq!(registry.counts(), (0, 0, 0));
}

#[test]
fn a_path_that_is_used_again_is_another_cgroup() {
    let mut registry = Registry::default();
    registry.born(7, b"/a.service");
    registry.born(8, b"/a.service");
    registry.died(7, 1);
    assert_eq!(registry.id(b"/a.service"), Some(8));
    registry.walked([(9, b"/b.service".to_vec())].into(), 2);
    assert_eq!((registry.id(b"/a.service"), registry.id(b"/b.service")), (None, Some(9)));
    assert_eq!(registry.path(8).unwrap(), b"/a.service");
}

#[test]
fn any_bytes_become_bounded_text() {
    assert_eq!(text(b""), None);
    assert_eq!(text(b"a\n\x1b[2J").unwrap(), "a\\u{a}\\u{1b}[2J");
    let long = text(&[b'x'; 4096]).unwrap();
    assert_eq!((long.chars().count(), long.ends_with('…')), (LONGEST, true));
    assert_eq!(text(&[0xff; 4096]).unwrap().chars().count(), LONGEST);
    assert_eq!(text("ü".repeat(LONGEST).as_bytes()).unwrap().chars().count(), LONGEST);
}

#[test]
fn a_name_without_an_image_is_not_the_whole_name() {
    let mut registry = Registry::default();
    registry.container("a", Name { container: Some("web".into()), ..Name::default() }, 0);
    assert!(registry.knows("a") && !registry.has_image("a"));
    registry.container("a", Name { image: Some("nginx:1".into()), ..Name::default() }, 0);
    assert!(registry.has_image("a") && !registry.has_image("b"));
}

#[test]
fn a_path_as_it_is_shown_has_the_same_name() {
    let registry = Registry::default();
    // systemd's escape of a dash in a unit name.
    let path = b"/system.slice/getty\\x2dold.service";
    let name = registry.of_path(path).unwrap();
    assert_eq!(
        name.unit.as_deref(),
        Some("getty\\\\x2dold.service"),
        "shown, its backslash is doubled, once"
    );
    assert_eq!(registry.of_shown(&escape(path)), Some(name));
}

/// A container whose cgroup is delegated to it makes cgroups below, with ids of its choice.
#[test]
fn a_container_that_makes_a_cgroup_with_the_id_of_another_does_not_get_its_name() {
    let (mut registry, other) = (Registry::default(), "b".repeat(64));
    registry.born(7, &container_path());
    let own = format!("/kubepods/burstable/pod{OTHER}/{other}");
    registry.born(8, own.as_bytes());
    let claims = [
        format!("{own}/{ID}"),
        format!("{own}/docker/{ID}/x"),
        format!("{own}/kubepods/pod{UID}/{}", "c".repeat(64)),
        format!("{own}/system.slice/cri-containerd-{ID}.scope"),
        format!("{own}/kubepods/pod{UID}"),
    ];
    let is_own = |registry: &Registry, path: &str| {
        let name = registry.of_path(path.as_bytes()).unwrap();
        (name.container_id.as_deref(), name.pod_uid.as_deref()) == (Some(&*other), Some(OTHER))
    };
    for path in &claims {
        assert!(is_own(&registry, path), "{path}");
    }
    // Also once a source has named the other, and when its cgroup is gone.
    registry.container(ID, named(), 0);
    registry.died(7, 0);
    registry.prune(0);
    for path in &claims {
        assert!(is_own(&registry, path), "{path}");
    }
    // This one has no other cgroup. A node in a container has its own source of names.
    let inner = "d".repeat(64);
    registry.container(&inner, Name { container: Some("inner".into()), ..Name::default() }, 0);
    let name = registry.of_path(format!("{own}/docker/{inner}").as_bytes()).unwrap();
    assert_eq!((name.container_id.as_deref(), name.container.as_deref()), (Some(&*inner), Some("inner")));
    // A user's own manager makes cgroups for him.
    let user = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod";
    let name = registry.of_path(format!("{user}-{ID}.scope").as_bytes()).unwrap();
    assert_eq!((name.container_id, name.unit.as_deref()), (None, Some("user@1000.service")));
    let name = registry.of_path(format!("{user}-{inner}.scope").as_bytes()).unwrap();
    assert_eq!(name.container_id.as_deref(), Some(&*inner));
}
