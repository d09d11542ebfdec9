//! What people call a container: pod, namespace and container, or unit, or nothing but its cgroup.
//!
//! Input: what a name source said. Output: [`Name`], each field optional. Values are escaped already. Must not ask
//! anybody: the sources do.

use serde::{Deserialize, Serialize};

/// The names of a cgroup; what is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Name {
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Pod.
    pub pod: Option<String>,
    /// The pod's uid, with dashes: two pods may have one name.
    pub pod_uid: Option<String>,
    /// Container, as the pod or the runtime calls it.
    pub container: Option<String>,
    /// The runtime's id of it.
    pub container_id: Option<String>,
    /// Image, as it was asked for.
    pub image: Option<String>,
    /// How often the container was restarted before.
    pub restart: Option<u32>,
    /// systemd unit.
    pub unit: Option<String>,
    /// `containerd`, `cri-o`, `docker`, `podman`.
    pub runtime: Option<String>,
    /// Which source gave the best of these: `oci bundle`, `cri`, `docker`, `kubelet`, `path`.
    pub source: Option<String>,
}

impl Name {
    /// The shortest text that tells it from others: `namespace/pod/container`, a container's name, a unit; `None` when
    /// nothing is known.
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
