//! The labels for joining series of several exporters: those of cAdvisor and kube-state-metrics.
//!
//! A [`Name`] and a cgroup -> [`WorkloadLabels`]. Pure. A container keeps its labels after a restart.

use super::name::Name;
use crate::container::sources::oci::SANDBOX;

/// Namespace, pod and container. Outside Kubernetes only the container label is set: the container's name, the unit, or
/// the cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadLabels {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container.
    pub container: String,
}

impl WorkloadLabels {
    /// The labels of a cgroup, from its names or, if it has none, from its escaped path.
    pub fn of(name: Option<&Name>, cgroup: Option<&str>) -> Self {
        let Name { namespace, pod, pod_uid, container, container_id, unit, .. } =
            name.cloned().unwrap_or_default();
        let is_pods = pod.is_some() || pod_uid.is_some();
        let container = container.filter(|container| container != SANDBOX);
        // The sandbox and the pod's own cgroup have no container name.
        let short = || Some(container_id?.chars().take(12).collect()).filter(|_| !is_pods);
        let path = || cgroup.map(str::to_owned).filter(|_| !is_pods);
        Self {
            namespace: namespace.unwrap_or_default(),
            pod: pod.or(pod_uid).unwrap_or_default(),
            container: container.or_else(short).or(unit).or_else(path).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, WorkloadLabels};

    fn join(name: &Name) -> [String; 3] {
        let WorkloadLabels { namespace, pod, container } = WorkloadLabels::of(Some(name), Some("/path"));
        [namespace, pod, container]
    }

    #[test]
    fn a_container_of_a_pod_has_the_labels_that_others_give_it() {
        let name = Name {
            namespace: Some("shop".into()),
            pod: Some("cart-0".into()),
            pod_uid: Some("6e0b".into()),
            container: Some("redis".into()),
            container_id: Some("3f9d".into()),
            ..Name::default()
        };
        assert_eq!(join(&name), ["shop", "cart-0", "redis"]);
        // Ids change with each restart.
        assert_eq!(join(&Name { container: None, ..name }), ["shop", "cart-0", ""]);
    }

    #[test]
    fn what_is_no_pods_has_the_best_name_there_is() {
        let unit = Name { unit: Some("redis.service".into()), ..Name::default() };
        assert_eq!(join(&unit), ["", "", "redis.service"]);
        let docker = Name { container_id: Some("0123456789abcdef".into()), ..Name::default() };
        assert_eq!(join(&docker), ["", "", "0123456789ab"]);
        assert_eq!(WorkloadLabels::of(None, Some("/a/b")).container, "/a/b");
    }
}
