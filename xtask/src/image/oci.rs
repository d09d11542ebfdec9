//! An image as an OCI archive: layout, index, manifest, configuration, one layer.
//!
//! A layer and what to run -> bytes. Must not read any file. Format: the OCI image specification 1.0.

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::tar::Layer;

/// An image in the making.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// Its name, with registry and tag.
    pub(crate) name: &'a str,
    /// What always runs.
    pub(crate) entrypoint: &'a [&'a str],
    /// Its arguments when none are given.
    pub(crate) command: &'a [&'a str],
    /// A finished archive.
    pub(crate) layer: Vec<u8>,
}

impl Image<'_> {
    /// The archive.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let layer = digest(&self.layer);
        let config = serde_json::to_vec(&json!({
            "architecture": architecture()?, "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Cmd": self.command },
            "rootfs": { "type": "layers", "diff_ids": [layer] },
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &self.layer)],
        }))?;
        // containerd takes the name from the one annotation, podman and skopeo the tag from the other.
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(&manifest),
                "size": manifest.len(),
                "annotations":
                    { "io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": tag },
            }],
        }))?;
        let mut archive = Layer::default();
        archive.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.file("index.json", 0o644, &index)?;
        for blob in [&self.layer, &config, &manifest] {
            archive.file(&format!("blobs/sha256/{}", hex(blob)), 0o644, blob)?;
        }
        archive.finish()
    }
}

/// As the specification names this machine.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
    .with_context(|| format!("failed to make an image: {} has no name in OCI", std::env::consts::ARCH))
}

fn descriptor(media_type: &str, blob: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

fn hex(blob: &[u8]) -> String {
    Sha256::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Image, hex};

    #[test]
    fn the_digest_is_that_of_the_standard() {
        assert_eq!(hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_same_input_gives_the_same_image() {
        let image = || Image { name: "a/b:1", entrypoint: &["/x"], command: &[], layer: vec![1, 2, 3] };
        assert_eq!(image().archive().unwrap(), image().archive().unwrap());
    }
}
