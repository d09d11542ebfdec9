//! Names from a container runtime, by CRI (gRPC over a unix socket).
//!
//! Input: the socket of containerd, CRI-O or cri-dockerd. Output: the [`Name`]s of all containers and pods, and how a
//! container ended. Every call is bounded in time and size; values from a runtime are escaped and truncated.

pub mod messages;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use messages::{
    Container, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse, ListContainersRequest,
    ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse, Pair, PodSandbox, VersionRequest,
    VersionResponse,
};
use prost::Message;
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Request,
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::container::{end::End, name::Name, names::text};

/// The source's name.
pub const SOURCE: &str = "cri";
/// Sockets of runtimes, below the host's root.
pub const SOCKETS: [&str; 7] = [
    "run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "run/cri-dockerd.sock",
    "var/run/cri-dockerd.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
];
/// Timeout of a call. The kubelet's is two minutes, but names can wait for the next try.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 2000 } else { 5000 });
/// The largest message; the same limit as the kubelet's.
const LARGEST: usize = 16 << 20;
/// `CONTAINER_EXITED`
const EXITED: i32 = 2;

/// Why a call to a runtime failed.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// Connecting failed.
    #[error("failed to connect: {0}")]
    Connect(#[source] tonic::transport::Error),
    /// The call timed out.
    #[error("no answer to {what} in {PATIENCE:?}")]
    TimedOut {
        /// The call.
        what: &'static str,
    },
    /// The runtime returned an error.
    #[error("{method} failed: {code:?}")]
    Refused {
        /// The call.
        method: &'static str,
        /// The status code.
        code: tonic::Code,
    },
}

/// A connection to a runtime that answers.
#[derive(Debug)]
pub struct Cri {
    channel: Channel,
    runtime: String,
}

/// A name, and the id of its container, or the uid of its pod.
pub type Named = (String, Name);

impl Cri {
    /// Connects and queries the version, because another program may listen at such a path.
    ///
    /// # Errors
    /// When there is no CRI runtime.
    pub async fn connect(socket: &Path) -> Result<Self, CriError> {
        let socket: PathBuf = socket.into();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The address is not used; the connector opens the socket.
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = match timeout(PATIENCE, endpoint.connect_with_connector(connector)).await {
            Ok(channel) => channel.map_err(CriError::Connect)?,
            Err(_) => return Err(CriError::TimedOut { what: "connect" }),
        };
        let mut cri = Self { channel, runtime: String::new() };
        let version: VersionResponse = cri.ask("Version", VersionRequest {}).await?;
        cri.runtime = text(&version.runtime_name).unwrap_or_default();
        tracing::info!(runtime = %cri.runtime, version = text(&version.runtime_version), "container runtime");
        Ok(cri)
    }

    /// The runtime's name for itself.
    pub fn runtime(&self) -> &str {
        &self.runtime
    }

    /// All containers, sandboxes included, and all pods by uid.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn names(&self) -> Result<(Vec<Named>, Vec<Named>), CriError> {
        let sandboxes: ListPodSandboxResponse = self.ask("ListPodSandbox", ListPodSandboxRequest {}).await?;
        let containers: ListContainersResponse = self.ask("ListContainers", ListContainersRequest {}).await?;
        Ok(names_in(&containers, &sandboxes, &self.runtime))
    }

    /// How a container ended; `None` while it has not.
    ///
    /// # Errors
    /// When the call fails, or the runtime does not know the container.
    pub async fn ended(&self, id: &str) -> Result<Option<End>, CriError> {
        let request = ContainerStatusRequest { container_id: id.as_bytes().to_vec() };
        let answer: ContainerStatusResponse = self.ask("ContainerStatus", request).await?;
        Ok(answer.status.as_ref().and_then(end))
    }

    async fn ask<Q, A>(&self, method: &'static str, request: Q) -> Result<A, CriError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        let path = match method {
            "Version" => PathAndQuery::from_static("/runtime.v1.RuntimeService/Version"),
            "ListContainers" => PathAndQuery::from_static("/runtime.v1.RuntimeService/ListContainers"),
            "ListPodSandbox" => PathAndQuery::from_static("/runtime.v1.RuntimeService/ListPodSandbox"),
            _ => PathAndQuery::from_static("/runtime.v1.RuntimeService/ContainerStatus"),
        };
        let call = async {
            grpc.ready().await.map_err(CriError::Connect)?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = grpc.unary(Request::new(request), path, codec).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| CriError::Refused { method, code: status.code() })
        };
        timeout(PATIENCE, call).await.map_err(|_| CriError::TimedOut { what: method })?
    }
}

/// The containers, sandboxes included, and the pods of two answers.
pub(crate) fn names_in(
    containers: &ListContainersResponse,
    sandboxes: &ListPodSandboxResponse,
    runtime: &str,
) -> (Vec<Named>, Vec<Named>) {
    let pods = sandboxes.items.iter().filter_map(|sandbox| pod(sandbox, runtime)).collect();
    let containers = containers
        .containers
        .iter()
        .filter_map(|container| named(container, runtime))
        .chain(sandboxes.items.iter().filter_map(|sandbox| sandbox_name(sandbox, runtime)))
        .collect();
    (containers, pods)
}

pub(crate) fn end(status: &ContainerStatus) -> Option<End> {
    let ContainerStatus { state, finished_at, exit_code, reason } = status;
    // 0 means that the runtime does not know the time.
    let finished_at = Timestamp::from_nanosecond(i128::from(*finished_at)).ok().filter(|_| *finished_at > 0);
    (*state == EXITED).then(|| End { reason: text(reason), exit_code: *exit_code, finished_at })
}

fn named(container: &Container, runtime: &str) -> Option<Named> {
    let Container { id, metadata, image, labels, annotations } = container;
    let restarts = value(annotations, b"io.kubernetes.container.restartCount");
    let name = Name {
        namespace: value(labels, b"io.kubernetes.pod.namespace"),
        pod: value(labels, b"io.kubernetes.pod.name"),
        pod_uid: value(labels, b"io.kubernetes.pod.uid"),
        container: metadata.as_ref().and_then(|metadata| text(&metadata.name)),
        container_id: text(id),
        // containerd gives the digest here; the bundle has the name.
        image: image
            .as_ref()
            .and_then(|image| text(&image.image))
            .filter(|image| !image.starts_with("sha256:")),
        restart: restarts
            .and_then(|count| count.parse().ok())
            .or_else(|| metadata.as_ref().map(|metadata| metadata.attempt)),
        unit: None,
        runtime: Some(runtime.to_owned()).filter(|runtime| !runtime.is_empty()),
        source: Some(SOURCE.to_owned()),
    };
    Some((text(id)?, name))
}

fn pod(sandbox: &PodSandbox, runtime: &str) -> Option<Named> {
    let metadata = sandbox.metadata.as_ref()?;
    let uid = text(&metadata.uid)?;
    let name = Name {
        namespace: text(&metadata.namespace),
        pod: text(&metadata.name),
        pod_uid: Some(uid.clone()),
        runtime: Some(runtime.to_owned()).filter(|runtime| !runtime.is_empty()),
        source: Some(SOURCE.to_owned()),
        ..Name::default()
    };
    Some((uid, name))
}

fn sandbox_name(sandbox: &PodSandbox, runtime: &str) -> Option<Named> {
    let (_, name) = pod(sandbox, runtime)?;
    let id = text(&sandbox.id)?;
    let container = Some(crate::container::sources::oci::SANDBOX.to_owned());
    Some((id.clone(), Name { container, container_id: Some(id), ..name }))
}

fn value(pairs: &[Pair], key: &[u8]) -> Option<String> {
    pairs.iter().find(|pair| pair.key == key).and_then(|pair| text(&pair.value))
}

#[cfg(test)]
#[path = "cri_tests.rs"]
mod tests;
