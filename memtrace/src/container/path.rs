//! Names from a cgroup's path alone: pod uid, container id, unit.
//!
//! Input: a path below the root of its hierarchy, as runtimes, the kubelet and systemd make them. Output: [`Name`] with
//! the source `path`. Pure. The deepest container counts, because a node may itself be a container (kind). A process in
//! a cgroup below its container's belongs to the nearest container above. What is below a container is named by whoever
//! runs there, so it is a claim: [`own`] tells where it begins.

use super::name::Name;
use crate::text::escape;

/// The source's name.
pub const SOURCE: &str = "path";
/// Hexadecimal digits of a container's id.
const ID: usize = 64;
/// Namespaces that containerd puts in the path when a client gives no other: `/k8s.io/NAME` is not an id.
const CONTAINERD_NAMESPACES: [&[u8]; 3] = [b"k8s.io", b"default", b"moby"];
/// Where podman puts its pods with the cgroupfs driver.
const PODMAN_PODS: &[u8] = b"libpod_parent";
/// Suffixes of systemd units.
const UNITS: [&[u8]; 7] = [b".service", b".scope", b".slice", b".mount", b".socket", b".swap", b".automount"];

/// The names in a path; `None` when it has none.
pub fn name(path: &[u8]) -> Option<Name> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    let deepest = |found: &dyn Fn(&[u8]) -> bool| parts.iter().rposition(|part| found(part));
    let pod = deepest(&|part| pod_uid(part).is_some());
    // A pod below a container belongs to a node in that container, and this is the pod's own cgroup.
    let container = (0..parts.len())
        .rev()
        .find_map(|index| Some((index, container(&parts, index)?)))
        .filter(|(index, _)| pod.is_none_or(|pod| pod <= *index));
    let uid = pod.and_then(|pod| pod_uid(parts.get(pod)?));
    let unit = deepest(&is_unit).filter(|_| container.is_none());
    let mut name = Name {
        pod_uid: uid,
        unit: unit.and_then(|unit| parts.get(unit)).map(|part| escape(part)),
        source: Some(SOURCE.to_owned()),
        ..Name::default()
    };
    if let Some((_, Container { id, container, runtime })) = container {
        name.container_id = id.map(escape);
        name.container = container.map(escape);
        name.runtime = runtime.map(str::to_owned);
    }
    let is_known = name.pod_uid.is_some()
        || name.unit.is_some()
        || name.container_id.is_some()
        || name.container.is_some();
    is_known.then_some(name)
}

/// The part of a path that only the node's own runtimes, kubelet and systemd make: up to the outermost container, or to the
/// manager of a user. Cgroups below may be delegated, so that those in them choose the names, also ids of others.
pub fn own(path: &[u8]) -> &[u8] {
    let (mut parts, mut end) = (Vec::new(), 0);
    for part in path.split(|byte| *byte == b'/') {
        end += part.len();
        if !part.is_empty() {
            parts.push(part);
            let last = parts.len() - 1;
            // A pod of podman has an id too, and only podman makes what is below it.
            let is_pod = last.checked_sub(1).and_then(|above| parts.get(above)) == Some(&PODMAN_PODS);
            if is_users(part) || (container(&parts, last).is_some() && !is_pod) {
                return path.get(..end).unwrap_or(path);
            }
        }
        end += 1;
    }
    path
}

/// `user@1000.service`: the systemd of a user, who makes the cgroups below it.
fn is_users(part: &[u8]) -> bool {
    part.starts_with(b"user@") && part.ends_with(b".service")
}

/// A container, as recognised in a path.
struct Container<'a> {
    id: Option<&'a [u8]>,
    /// Its name, if the path has the name instead of the id.
    container: Option<&'a [u8]>,
    runtime: Option<&'static str>,
}

/// The container in the part at `index`, if it is one.
fn container<'a>(parts: &[&'a [u8]], index: usize) -> Option<Container<'a>> {
    let part = *parts.get(index)?;
    let above = index.checked_sub(1).and_then(|above| parts.get(above)).copied();
    let of = |id, runtime| Some(Container { id: Some(id), container: None, runtime });
    if is_id(part) {
        return of(part, (above == Some(b"docker")).then_some("docker"));
    }
    // `kubepods-besteffort-pod<uid>.slice:cri-containerd:<id>`: the kubelet uses the systemd driver, runc the cgroupfs
    // one.
    if let Some((prefix, id)) = split_last(part, b':')
        && is_id(id)
    {
        let driver = split_last(prefix, b':').map_or(prefix, |(_, driver)| driver);
        return of(id, runtime(driver));
    }
    let bare = part.strip_suffix(b".scope").unwrap_or(part);
    if let Some((prefix, id)) = split_last(bare, b'-')
        && is_id(id)
    {
        let runtime = runtime(prefix);
        let is_scope = bare.len() < part.len();
        // Without `.scope` only known prefixes count, and a monitor process is never the container.
        return (!is_monitor(prefix) && (is_scope || runtime.is_some())).then_some(Container {
            id: Some(id),
            container: None,
            runtime,
        });
    }
    if let Some(name) = part.strip_prefix(b"lxc.payload.") {
        return Some(Container { id: None, container: Some(name), runtime: Some("lxc") });
    }
    match (index, above) {
        (1, Some(b"lxc")) => Some(Container { id: None, container: Some(part), runtime: Some("lxc") }),
        (1, Some(namespace)) if CONTAINERD_NAMESPACES.contains(&namespace) && !is_unit(part) => {
            of(part, Some("containerd"))
        }
        _ => None,
    }
}

/// The runtime that uses this prefix.
fn runtime(prefix: &[u8]) -> Option<&'static str> {
    match prefix {
        b"cri-containerd" | b"nerdctl" => Some("containerd"),
        b"crio" => Some("cri-o"),
        b"docker" => Some("docker"),
        b"libpod" | b"libpod-payload" => Some("podman"),
        _ => None,
    }
}

/// `crio-conmon-<id>.scope`, `libpod-conmon-<id>.scope`: the process that watches the container.
fn is_monitor(prefix: &[u8]) -> bool {
    prefix == b"conmon" || prefix.ends_with(b"-conmon")
}

/// `pod<uid>`, `kubepods-burstable-pod<uid with _>.slice` and the same before a colon.
fn pod_uid(part: &[u8]) -> Option<String> {
    let part = part.split(|byte| *byte == b':').next().unwrap_or(part);
    let bare = part.strip_suffix(b".slice");
    let uid = match bare {
        Some(bare) => {
            let at = bare.windows(4).rposition(|window| window == b"-pod")?;
            bare.get(at + 4..)?
        }
        None => part.strip_prefix(b"pod")?,
    };
    let uid: Vec<u8> = uid.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
    is_uid(&uid).then(|| String::from_utf8_lossy(&uid).into_owned())
}

/// A UUID, or 32 digits for a static pod (a hash of its manifest).
fn is_uid(uid: &[u8]) -> bool {
    match uid.len() {
        32 => uid.iter().all(u8::is_ascii_hexdigit),
        36 => uid.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}

fn is_id(part: &[u8]) -> bool {
    part.len() == ID && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_unit(part: &[u8]) -> bool {
    UNITS.iter().any(|end| part.ends_with(end) && part.len() > end.len())
}

fn split_last(part: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = part.iter().rposition(|byte| *byte == separator)?;
    Some((part.get(..at)?, part.get(at + 1..)?))
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
