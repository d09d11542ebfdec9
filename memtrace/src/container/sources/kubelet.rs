//! Names from the kubelet's list of the pods of this node (`/pods`). Off by default, because it needs a token and a
//! role.
//!
//! Input: the kubelet's address, and the files with a token and a CA bundle. Output: the [`Name`]s of containers and
//! pods. One request, bounded in time and size; its values are escaped and truncated. Must not write to the Kubernetes
//! API, nor send any other request.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::body::Bytes;
use serde::Deserialize;
use tokio::{task::spawn_blocking, time::timeout};
use tokio_rustls::rustls;

use super::cri::Named;
use crate::{
    container::{name::Name, names::text},
    http::{self, Address, Connection, tls},
};

/// The source's name.
pub const SOURCE: &str = "kubelet";
/// Timeout of a request.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 2000 } else { 5000 });
/// The largest response in bytes: 250 pods have about 4 MiB.
const LARGEST: usize = 32 << 20;
/// The longest token in bytes.
const LONGEST_TOKEN: u64 = 64 << 10;

/// How to reach the kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://ADDRESS:10250`, or with http the read-only port.
    pub url: String,
    /// A file with the bearer token, read for each request because it is renewed.
    pub token: PathBuf,
    /// A CA bundle for the kubelet's certificate; `None` accepts any certificate.
    pub authority: Option<PathBuf>,
}

/// A client of a kubelet.
#[derive(Debug)]
pub struct Kubelet {
    config: Config,
    host: String,
    port: u16,
    /// `None` for http.
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Kubelet {
    /// Reads the CA bundle on a blocking thread.
    ///
    /// # Errors
    /// When the address is invalid, or a file cannot be read in time.
    pub async fn open(config: Config) -> Result<Self, String> {
        match timeout(PATIENCE, spawn_blocking(move || Self::new(config))).await {
            Ok(read) => read.map_err(|error| error.to_string())?,
            Err(_) => Err(format!("failed to read its CA bundle within {PATIENCE:?}")),
        }
    }

    /// Reads the CA bundle.
    ///
    /// # Errors
    /// When the address is invalid, or a file cannot be read.
    pub fn new(config: Config) -> Result<Self, String> {
        let Address { host, port, is_tls, .. } = Address::parse(&config.url, 10255, 10250)?;
        let tls = is_tls.then(|| tls::config(config.authority.as_deref())).transpose()?;
        Ok(Self { config, host, port, tls })
    }

    /// All containers and pods of the node.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn names(&self) -> Result<(Vec<Named>, Vec<Named>), String> {
        let json = http::in_time(PATIENCE, self.ask()).await.map_err(|error| format!("{error:#}"))?;
        parse(&json).map_err(|error| error.to_string())
    }

    async fn ask(&self) -> anyhow::Result<Bytes> {
        let (connection, token) = match &self.tls {
            None => (Connection::tcp(&self.host, self.port).await?, None),
            Some(tls) => {
                let connection = Connection::tls(&self.host, self.port, Arc::clone(tls)).await?;
                // Send the token only after the certificate was verified.
                let file = self.config.token.clone();
                (connection, spawn_blocking(move || token(&file)).await??)
            }
        };
        let answer = connection.get(&self.host, "/pods", token.as_deref()).await?;
        http::body_of_ok(answer, LARGEST).await
    }
}

/// `None` when there is no such file: a kubelet may allow anonymous requests.
fn token(path: &Path) -> anyhow::Result<Option<String>> {
    let mut token = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_TOKEN + 1).read_to_string(&mut token));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => anyhow::bail!("failed to read {}: {error}", path.display()),
    }
    // Check before trimming: only the start of a longer token was read.
    anyhow::ensure!(token.len() as u64 <= LONGEST_TOKEN, "{} is not a token: it is too long", path.display());
    let token = token.trim();
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

#[derive(Debug, Deserialize)]
struct PodList {
    #[serde(default)]
    items: Option<Vec<Pod>>,
}

#[derive(Debug, Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    uid: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    /// `containerd://<64 hex digits>`; absent until the container is created.
    #[serde(default, rename = "containerID")]
    container_id: Option<String>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    restart_count: Option<u32>,
}

pub(crate) fn parse(json: &[u8]) -> serde_json::Result<(Vec<Named>, Vec<Named>)> {
    let list: PodList = serde_json::from_slice(json)?;
    let (mut containers, mut pods) = (Vec::new(), Vec::new());
    for Pod { metadata: Metadata { name, namespace, uid }, status } in list.items.unwrap_or_default() {
        let known = |value: Option<String>| text(value?.as_bytes());
        let pod = Name {
            namespace: known(namespace),
            pod: known(name),
            pod_uid: known(uid),
            source: Some(SOURCE.to_owned()),
            ..Name::default()
        };
        let Status { container_statuses, init_container_statuses, ephemeral_container_statuses } =
            status.unwrap_or_default();
        let all = [container_statuses, init_container_statuses, ephemeral_container_statuses];
        containers.extend(all.into_iter().flatten().flatten().filter_map(|status| container(&pod, status)));
        if let Some(uid) = pod.pod_uid.clone() {
            pods.push((uid, pod));
        }
    }
    Ok((containers, pods))
}

fn container(pod: &Name, status: ContainerStatus) -> Option<Named> {
    let ContainerStatus { name, container_id, image, restart_count } = status;
    let full = container_id?;
    let (runtime, id) = full.split_once("://")?;
    let id = text(id.as_bytes())?;
    let name = Name {
        container: text(name.as_bytes()),
        container_id: Some(id.clone()),
        image: image.and_then(|image| text(image.as_bytes())),
        restart: restart_count,
        runtime: text(runtime.as_bytes()),
        ..pod.clone()
    };
    Some((id, name))
}

#[cfg(test)]
#[path = "kubelet_tests.rs"]
mod tests;
