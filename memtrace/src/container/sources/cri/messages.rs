//! The few messages of CRI (`runtime.v1`) that memtrace needs, with the fields that it reads.
//!
//! Strings are declared as bytes and maps as lists of pairs, with the same encoding, so that one name that is not UTF-8
//! does not make a whole list unreadable.

use prost::Message;

/// `VersionRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct VersionRequest {}

/// The runtime and its version.
#[derive(Clone, PartialEq, Message)]
pub struct VersionResponse {
    /// `containerd`, `cri-o`.
    #[prost(bytes = "vec", tag = "2")]
    pub runtime_name: Vec<u8>,
    /// Its version.
    #[prost(bytes = "vec", tag = "3")]
    pub runtime_version: Vec<u8>,
}

/// `ListContainersRequest`, without a filter: all containers, running or not.
#[derive(Clone, PartialEq, Message)]
pub struct ListContainersRequest {}

/// All containers.
#[derive(Clone, PartialEq, Message)]
pub struct ListContainersResponse {
    /// One entry for each.
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

/// A container.
#[derive(Clone, PartialEq, Message)]
pub struct Container {
    /// The runtime's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Name and attempt.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerMetadata>,
    /// Its image.
    #[prost(message, optional, tag = "4")]
    pub image: Option<ImageSpec>,
    /// `io.kubernetes.pod.name` and others.
    #[prost(message, repeated, tag = "8")]
    pub labels: Vec<Pair>,
    /// `io.kubernetes.container.restartCount` and others.
    #[prost(message, repeated, tag = "9")]
    pub annotations: Vec<Pair>,
}

/// See [`Container`].
#[derive(Clone, PartialEq, Message)]
pub struct ContainerMetadata {
    /// Name in the pod.
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    /// Number of earlier attempts.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// An image.
#[derive(Clone, PartialEq, Message)]
pub struct ImageSpec {
    /// Its name, or its digest.
    #[prost(bytes = "vec", tag = "1")]
    pub image: Vec<u8>,
}

/// An entry of a map.
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    /// Key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// Value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `ListPodSandboxRequest`, without a filter.
#[derive(Clone, PartialEq, Message)]
pub struct ListPodSandboxRequest {}

/// All pods.
#[derive(Clone, PartialEq, Message)]
pub struct ListPodSandboxResponse {
    /// One entry for each.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// A pod's sandbox, itself a container.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandbox {
    /// The runtime's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The identity of its pod.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
}

/// See [`PodSandbox`].
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxMetadata {
    /// Pod.
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    /// Its uid.
    #[prost(bytes = "vec", tag = "2")]
    pub uid: Vec<u8>,
    /// Namespace.
    #[prost(bytes = "vec", tag = "3")]
    pub namespace: Vec<u8>,
}

/// `ContainerStatusRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerStatusRequest {
    /// The runtime's id.
    #[prost(bytes = "vec", tag = "1")]
    pub container_id: Vec<u8>,
}

/// The response to it.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerStatusResponse {
    /// See [`ContainerStatus`].
    #[prost(message, optional, tag = "1")]
    pub status: Option<ContainerStatus>,
}

/// The status of a container.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerStatus {
    /// 0 created, 1 running, 2 exited, 3 unknown.
    #[prost(int32, tag = "3")]
    pub state: i32,
    /// When it ended, in ns since the Unix epoch; 0 while it runs.
    #[prost(int64, tag = "6")]
    pub finished_at: i64,
    /// Exit code.
    #[prost(int32, tag = "7")]
    pub exit_code: i32,
    /// The reason: `OOMKilled`, `Error`, `Completed`.
    #[prost(bytes = "vec", tag = "10")]
    pub reason: Vec<u8>,
}
