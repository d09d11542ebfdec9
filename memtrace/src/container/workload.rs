//! The workload of a container: what stays the same when the container restarts and its pod is replaced.
//!
//! A [`Name`] and a cgroup -> [`Workload`], a label. Pure. The owner of a pod is read from the pod's name, because
//! nobody on the node tells it: controllers add suffixes of a known form.

use serde::{Deserialize, Serialize};

use super::{name::Name, workload_labels::WorkloadLabels};

/// Random suffix of a pod, and hash of its template (kube-controller-manager's names).
const SUFFIX: usize = 5;
const HASH: std::ops::RangeInclusive<usize> = 8..=10;
/// Letters and digits of these suffixes (apimachinery's `rand.SafeEncodeString`): no vowels, no 0, 1 or 3.
const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";
/// The most digits of a StatefulSet's ordinal.
const ORDINAL: usize = 4;

/// The kind of a pod's owner, as the form of the pod's name tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// `name-hash-suffix`.
    Deployment,
    /// `name-number`.
    StatefulSet,
    /// `name-suffix`: a DaemonSet, or a Job.
    DaemonSet,
    /// Any other pod.
    Pod,
    /// Not of a pod: a unit, a container of a runtime, or a cgroup.
    #[default]
    None,
}

impl OwnerKind {
    /// Its word in the store, and in `kubectl patch`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Pod => "pod",
            Self::None => "",
        }
    }

    /// The kind of a word; [`Self::None`] for others.
    pub fn of(word: &str) -> Self {
        let all = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Pod];
        all.into_iter().find(|kind| kind.name() == word).unwrap_or_default()
    }
}

/// A workload, in one version of its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// Kubernetes namespace; empty outside of Kubernetes.
    pub namespace: String,
    /// The pod's owner; empty outside of Kubernetes.
    pub owner: String,
    /// The container; else the unit, else the cgroup.
    pub container: String,
    /// The image as requested; empty when it is not known.
    pub image: String,
    /// The kind of the owner.
    pub kind: OwnerKind,
}

impl Workload {
    /// The workload of a cgroup; `None` when the cgroup is none's: a pod's own, or its sandbox.
    pub fn of(name: Option<&Name>, cgroup: &str) -> Option<Self> {
        let WorkloadLabels { namespace, pod, container } = WorkloadLabels::of(name, Some(cgroup));
        if container.is_empty() || container == "/" {
            return None;
        }
        let (owner, kind) = owner(&pod);
        let image = name.and_then(|name| name.image.clone()).unwrap_or_default();
        Some(Self { namespace, owner: owner.to_owned(), container, image, kind })
    }

    /// `namespace/owner/container`, as far as known. Versions of the image have the same label.
    pub fn label(&self) -> String {
        joined([&self.namespace, &self.owner, &self.container])
    }
}

/// The label of the workload of a container, or of a cgroup without a name: `namespace/name/container`.
pub fn label(name: Option<&Name>, cgroup: Option<&str>) -> String {
    let WorkloadLabels { namespace, pod, container } = WorkloadLabels::of(name, cgroup);
    let label = joined([&namespace, template(&pod).0, &container]);
    if label.is_empty() { "the node".to_owned() } else { label }
}

fn joined(parts: [&str; 3]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// The name of a pod's owner, by the pod's name.
pub fn owner_of(pod: &str) -> &str {
    owner(pod).0
}

/// The owner of a pod, by the pod's name.
fn owner(pod: &str) -> (&str, OwnerKind) {
    if pod.is_empty() {
        return (pod, OwnerKind::None);
    }
    let is_ordinal = |last: &str| {
        (1..=ORDINAL).contains(&last.len())
            && last.bytes().all(|digit| digit.is_ascii_digit())
            && (last == "0" || !last.starts_with('0'))
    };
    match (template(pod), pod.rsplit_once('-')) {
        ((_, OwnerKind::Pod), Some((name, last))) if is_ordinal(last) => (name, OwnerKind::StatefulSet),
        (found, _) => found,
    }
}

/// The name of a pod without its random suffix and the hash of its template. Other names stay as they are.
fn template(pod: &str) -> (&str, OwnerKind) {
    let is_safe = |part: &str| part.chars().all(|letter| SAFE.contains(letter));
    let Some((rest, _)) = pod.rsplit_once('-').filter(|(_, last)| last.len() == SUFFIX && is_safe(last))
    else {
        return (pod, OwnerKind::Pod);
    };
    match rest.rsplit_once('-') {
        Some((name, hash)) if HASH.contains(&hash.len()) && is_safe(hash) => (name, OwnerKind::Deployment),
        _ => (rest, OwnerKind::DaemonSet),
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, OwnerKind, Workload, owner};

    #[test]
    fn the_owner_is_the_pods_name_without_its_generated_part() {
        for (pod, name, kind) in [
            ("cart-7d9f8b6c5d-x2x4q", "cart", OwnerKind::Deployment),
            ("cart-0", "cart", OwnerKind::StatefulSet),
            ("cart-db-12", "cart-db", OwnerKind::StatefulSet),
            ("agent-x7k2p", "agent", OwnerKind::DaemonSet),
            ("web-server", "web-server", OwnerKind::Pod),
            ("web-007", "web-007", OwnerKind::Pod),
            ("", "", OwnerKind::None),
        ] {
            assert_eq!(owner(pod), (name, kind), "{pod}");
            assert_eq!(OwnerKind::of(kind.name()), kind);
        }
    }

    #[test]
    fn pods_of_one_owner_are_one_workload_and_versions_of_its_image_are_not() {
        let of = |pod: &str, image: &str| {
            let name = Name {
                namespace: Some("shop".into()),
                pod: Some(pod.into()),
                container: Some("redis".into()),
                image: Some(image.into()),
                ..Name::default()
            };
            Workload::of(Some(&name), "/a").unwrap()
        };
        let one = of("cart-7d9f8b6c5d-x2x4q", "redis:7");
        assert_eq!(one.label(), "shop/cart/redis");
        assert_eq!(one, of("cart-7d9f8b6c5d-b2b4q", "redis:7"));
        let other = of("cart-7d9f8b6c5d-x2x4q", "redis:8");
        assert_ne!(one, other);
        assert_eq!(one.label(), other.label());
    }

    #[test]
    fn the_label_of_a_kill_keeps_the_names_of_a_statefulsets_pods() {
        let label = |pod: &str| {
            let name = Name { pod: Some(pod.into()), container: Some("c".into()), ..Name::default() };
            super::label(Some(&name), None)
        };
        assert_eq!(label("cart-7d9c5b8f6-x2x4q"), "cart/c");
        assert_eq!(label("cart-0"), "cart-0/c");
        assert_eq!(label("node-exporter-x2x4q"), "node-exporter/c", "a DaemonSet has no hash");
        assert_eq!(label("my-database"), "my-database/c");
        assert_eq!(super::label(None, None), "the node");
    }

    #[test]
    fn what_is_no_containers_is_no_workload() {
        let pod = Name { pod: Some("cart-0".into()), ..Name::default() };
        assert_eq!(Workload::of(Some(&pod), "/kubepods/pod1"), None);
        assert_eq!(Workload::of(None, "/"), None);
        let unit = Name { unit: Some("redis.service".into()), ..Name::default() };
        assert_eq!(
            Workload::of(Some(&unit), "/system.slice/redis.service").unwrap().label(),
            "redis.service"
        );
    }
}
