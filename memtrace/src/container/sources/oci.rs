//! Names from a container's OCI bundle, which needs no call to a runtime and exists before the first process runs.
//!
//! Input: the runtimes' state directories and a container's id. Output: its [`Name`], from the annotations that
//! containerd's and CRI-O's CRI write into `config.json`. The bundle is deleted milliseconds after the container ends,
//! so it is read when the cgroup is made.

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::container::{name::Name, names::text};

/// The source's name.
pub const SOURCE: &str = "oci bundle";
/// The most bytes of a configuration; it has about 20 KiB.
const LARGEST: u64 = 4 << 20;
/// Containerd's state directories: its own, k3s's and RKE2's, k0s's, MicroK8s's, Docker's own containerd.
const CONTAINERD: [&str; 5] = [
    "run/containerd",
    "run/k3s/containerd",
    "run/k0s/containerd",
    "var/snap/microk8s/common/run/containerd",
    "run/docker/containerd/daemon",
];
/// State directories of CRI-O and podman.
const STORAGE: [&str; 3] = [
    "run/containers/storage/overlay-containers",
    "var/lib/containers/storage/overlay-containers",
    "var/run/containers/storage/overlay-containers",
];
/// containerd's namespace for CRI, asked first.
const KUBERNETES: &str = "k8s.io";
/// The name for a sandbox, which has no container name; no container can have this name.
pub const SANDBOX: &str = "(sandbox)";

/// Reads bundles below a root: `/`, or the mount point of the host's root.
#[derive(Clone, Debug)]
pub struct Bundles {
    root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

impl Bundles {
    /// See [`Bundles`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The existing state directories.
    pub fn places(&self) -> Vec<PathBuf> {
        let tasks =
            CONTAINERD.iter().map(|state| self.root.join(state).join("io.containerd.runtime.v2.task"));
        let places = tasks.chain(STORAGE.iter().map(|storage| self.root.join(storage)));
        places.filter(|place| place.is_dir()).collect()
    }

    /// The name of a container; `None` when it has no bundle here or no names in it.
    pub fn name(&self, id: &str) -> Option<Name> {
        // The id becomes part of a path, so it must not lead elsewhere.
        if id.is_empty() || id.starts_with('.') || id.contains('/') {
            return None;
        }
        for state in CONTAINERD {
            let tasks = self.root.join(state).join("io.containerd.runtime.v2.task");
            if let Some(name) = read(&tasks.join(KUBERNETES).join(id)) {
                return Some(name);
            }
            for namespace in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
                if namespace.file_name() != KUBERNETES
                    && let Some(name) = read(&namespace.path().join(id))
                {
                    return Some(name);
                }
            }
        }
        STORAGE.iter().find_map(|storage| read(&self.root.join(storage).join(id).join("userdata")))
    }
}

fn read(bundle: &Path) -> Option<Name> {
    let mut text = Vec::new();
    File::open(bundle.join("config.json")).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    parse(&text)
}

/// Parses the annotations of either runtime; containers of Docker or ctr have none.
pub(crate) fn parse(json: &[u8]) -> Option<Name> {
    let Config { annotations } = serde_json::from_slice(json).ok()?;
    let get = |names: [&str; 2]| names.into_iter().find_map(|name| text(annotations.get(name)?.as_bytes()));
    let kind = get(["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    let is_sandbox = kind.as_deref() == Some("sandbox");
    let container = get(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
    let name = Name {
        namespace: get(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        pod: get(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        // Since containerd 1.6.11 and 1.7.0; the path has it too.
        pod_uid: get(["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        container: if is_sandbox { Some(SANDBOX.to_owned()) } else { container },
        image: get(["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        runtime: kind.map(|_| {
            let is_crio = annotations.contains_key("io.kubernetes.cri-o.ContainerType");
            if is_crio { "cri-o" } else { "containerd" }.to_owned()
        }),
        source: Some(SOURCE.to_owned()),
        ..Name::default()
    };
    (name.container.is_some() || name.pod.is_some()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Bundles, parse};

    const CONTAINERD: &str = r#"{"ociVersion":"1.0.2","process":{"args":["x"]},"annotations":{
        "io.kubernetes.cri.container-name":"redis","io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.image-name":"docker.io/library/redis:7","io.kubernetes.cri.sandbox-id":"5f",
        "io.kubernetes.cri.sandbox-name":"cart-0","io.kubernetes.cri.sandbox-namespace":"shop",
        "io.kubernetes.cri.sandbox-uid":"d1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f"}}"#;

    #[test]
    fn containerd_writes_all_names() {
        let name = parse(CONTAINERD.as_bytes()).unwrap();
        assert_eq!(name.label().unwrap(), "shop/cart-0/redis");
        assert_eq!(name.image.unwrap(), "docker.io/library/redis:7");
        assert_eq!(name.pod_uid.unwrap(), "d1b6a9c8-5a0e-4a7e-9a63-0a1b2c3d4e5f");
        assert_eq!(name.runtime.unwrap(), "containerd");
    }

    #[test]
    fn crio_writes_them_otherwise() {
        let json = r#"{"annotations":{"io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"n",
            "io.kubernetes.container.name":"POD","io.kubernetes.cri-o.ContainerType":"sandbox"}}"#;
        let name = parse(json.as_bytes()).unwrap();
        assert_eq!((name.label().unwrap(), name.runtime.unwrap()), ("n/p/(sandbox)".into(), "cri-o".into()));
    }

    #[test]
    fn what_says_nothing_is_no_name() {
        for json in ["", "{", "{}", r#"{"annotations":{"a":"b"}}"#, r#"{"annotations":7}"#] {
            assert_eq!(parse(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn names_are_escaped_and_bounded() {
        let long = "x".repeat(4096);
        let json = serde_json::json!({"annotations": {
            "io.kubernetes.cri.container-name": "a\u{1b}[2Jb", "io.kubernetes.cri.sandbox-name": long,
        }});
        let name = parse(json.to_string().as_bytes()).unwrap();
        assert_eq!(name.container.unwrap(), "a\\u{1b}[2Jb");
        assert!(name.pod.unwrap().len() < 600);
    }

    #[test]
    fn a_bundle_is_found_in_any_namespace_and_no_id_leads_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let tasks = dir.path().join("run/k3s/containerd/io.containerd.runtime.v2.task");
        for bundle in ["k8s.io/abc", "other/def"] {
            fs::create_dir_all(tasks.join(bundle)).unwrap();
            fs::write(tasks.join(bundle).join("config.json"), CONTAINERD).unwrap();
        }
        let bundles = Bundles::new(dir.path());
        assert!(bundles.name("abc").is_some() && bundles.name("def").is_some());
        for id in ["", "..", "../other/def", "ghi"] {
            assert_eq!(bundles.name(id), None, "{id}");
        }
        assert_eq!(bundles.places(), [tasks]);
    }
}
