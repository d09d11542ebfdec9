//! The name of a container: namespace, pod and container, or a unit.
//!
//! Input: values from a name source. Output: [`Name`], each field optional. Values are already escaped. Must not query
//! anything itself.

use serde::{Deserialize, Serialize};

/// The names of a cgroup; unknown ones are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Name {
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Pod.
    pub pod: Option<String>,
    /// The pod's uid, with dashes: two pods may have the same name.
    pub pod_uid: Option<String>,
    /// Name of the container in the pod or the runtime.
    pub container: Option<String>,
    /// The runtime's id of it.
    pub container_id: Option<String>,
    /// Image, as requested.
    pub image: Option<String>,
    /// Number of previous restarts of the container.
    pub restart: Option<u32>,
    /// systemd unit.
    pub unit: Option<String>,
    /// `containerd`, `cri-o`, `docker`, `podman`.
    pub runtime: Option<String>,
    /// The best source of these values: `oci bundle`, `cri`, `docker`, `kubelet`, `path`.
    pub source: Option<String>,
}

impl Name {
    /// The shortest distinctive label: `namespace/pod/container`, a container's name, or a unit; `None` when nothing is
    /// known.
    pub fn label(&self) -> Option<String> {
        let Self { namespace, pod, container, container_id, unit, pod_uid, .. } = self;
        let pod = pod.clone().or_else(|| Some(format!("pod {}", pod_uid.as_ref()?)));
        let short = || Some(container_id.as_ref()?.chars().take(12).collect());
        let container = container.clone().or_else(short);
        let parts: Vec<String> = [namespace.clone(), pod, container].into_iter().flatten().collect();
        if parts.is_empty() { unit.clone() } else { Some(parts.join("/")) }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn the_label_is_made_of_what_is_known() {
        let name = Name {
            namespace: Some("shop".into()),
            pod: Some("cart-0".into()),
            container: Some("redis".into()),
            unit: Some("x.scope".into()),
            ..Name::default()
        };
        assert_eq!(name.label().unwrap(), "shop/cart-0/redis");
        let unit = Name { unit: Some("redis.service".into()), ..Name::default() };
        assert_eq!(unit.label().unwrap(), "redis.service");
        let id = Name { container_id: Some("0123456789abcdef".into()), ..Name::default() };
        assert_eq!(id.label().unwrap(), "0123456789ab");
        assert_eq!(Name::default().label(), None);
    }
}
