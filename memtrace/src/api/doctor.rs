//! The diagnosis of `memtrace doctor`, from an attempt to attach or from the running daemon.
//!
//! Facts of the kernel, the hooks and the runtimes -> [`Diagnosis`]. Attaches nothing itself.

use serde::{Deserialize, Serialize};

use crate::{
    cgroup::{
        hierarchy::{Hierarchy, Version},
        view,
    },
    container::sources::{self, SourceStatus},
    health::Health,
    probe::{status::ProbeStatus, support::MissingCapability},
    snapshot::{Cpu, MemoryUse, Snapshot, StoreState},
};

/// Everything that `doctor` finds out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Version of this structure.
    pub schema: u32,
    /// Whether memtrace can record OOM kills here.
    pub works: bool,
    /// The reason, if it does not work.
    pub failure: Option<String>,
    /// The hooks.
    pub probes: ProbeStatus,
    /// Capabilities that are missing, with what they are for.
    pub missing_capabilities: Vec<(String, String)>,
    /// The memory controller, in words.
    pub memory_controller: Option<String>,
    /// Why cgroups of the node are hidden from here; `None` if none are.
    #[serde(default)]
    pub hidden_cgroups: Option<String>,
    /// Sources of container names, and whether each works.
    #[serde(default)]
    pub name_sources: Vec<SourceStatus>,
    /// CPU use of the running daemon, and how far it has reduced its work.
    #[serde(default)]
    pub governor: Known<Cpu>,
    /// The threads of the running daemon.
    #[serde(default)]
    pub health: Known<Health>,
    /// Memory use of the running daemon, and how many processes are shown with totals only.
    #[serde(default)]
    pub memory: Known<MemoryUse>,
    /// The store of the running daemon.
    #[serde(default)]
    pub store: Known<StoreState>,
}

/// A value, or the reason why it is unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    /// The value.
    Known(T),
    /// The reason why it is unknown.
    Unknown(String),
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::Unknown("the daemon was not asked".to_owned())
    }
}

impl Known<Cpu> {
    /// The CPU use of the daemon in a snapshot.
    pub fn governor(snapshot: &Snapshot) -> Self {
        snapshot.tracer.as_ref().map_or_else(Self::default, |tracer| Self::Known(tracer.scans.cpu))
    }
}

impl Known<MemoryUse> {
    /// The memory use of the daemon in a snapshot.
    pub fn memory(snapshot: &Snapshot) -> Self {
        snapshot.tracer.as_ref().map_or_else(Self::default, |tracer| Self::Known(tracer.memory))
    }
}

impl Known<StoreState> {
    /// The state of the store in a snapshot.
    pub fn store(snapshot: &Snapshot) -> Self {
        snapshot.tracer.as_ref().map_or_else(Self::default, |tracer| Self::Known(tracer.store.clone()))
    }
}

impl Diagnosis {
    /// [`Diagnosis::schema`].
    pub const SCHEMA: u32 = 1;

    /// The diagnosis with attached hooks; the sources of names are not queried yet.
    pub fn working(
        probes: ProbeStatus,
        missing: &[MissingCapability],
        hierarchy: Option<&Hierarchy>,
    ) -> Self {
        let missing = missing.iter();
        Self {
            schema: Self::SCHEMA,
            works: true,
            failure: None,
            probes,
            missing_capabilities: missing
                .map(|MissingCapability { name, purpose, .. }| ((*name).to_owned(), (*purpose).to_owned()))
                .collect(),
            memory_controller: hierarchy.map(|hierarchy| {
                let version = match hierarchy.version {
                    Version::V1 => "cgroup v1",
                    Version::V2 => "cgroup v2",
                };
                format!("{version}, mounted at {}", hierarchy.mount.display())
            }),
            hidden_cgroups: hierarchy.and_then(view::hidden),
            name_sources: Vec::new(),
            governor: Known::default(),
            health: Known::default(),
            memory: Known::default(),
            store: Known::default(),
        }
    }

    /// The current diagnosis: the hooks as attached, and the sources of names queried now.
    pub async fn asked_now(&self, names: &sources::Config, latest: &Snapshot, health: Health) -> Self {
        Self {
            name_sources: sources::examine(names).await,
            governor: Known::governor(latest),
            health: Known::Known(health),
            memory: Known::memory(latest),
            store: Known::store(latest),
            ..self.clone()
        }
    }
}
