//! What `memtrace doctor` says, of an attempt to attach or of the daemon that runs.
//!
//! Facts of the kernel, the hooks and the runtimes -> [`Diagnosis`]. Attaches nothing itself.

use serde::{Deserialize, Serialize};

use crate::{
    cgroup::hierarchy::{Hierarchy, Version},
    container::sources::{self, SourceStatus},
    probe::{status::ProbeStatus, support::MissingCapability},
    snapshot::{Cpu, Snapshot},
};

/// Everything that `doctor` found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Version of this structure.
    pub schema: u32,
    /// Whether memtrace can record OOM kills here.
    pub works: bool,
    /// Why not.
    pub failure: Option<String>,
    /// The hooks.
    pub probes: ProbeStatus,
    /// Capabilities that are missing, with what they are for.
    pub missing_capabilities: Vec<(String, String)>,
    /// The memory controller, in words.
    pub memory_controller: Option<String>,
    /// What names containers here, and what should and does not.
    #[serde(default)]
    pub name_sources: Vec<SourceStatus>,
    /// What the daemon that runs takes of the processor, and what it holds back for that.
    #[serde(default)]
    pub governor: Known<Cpu>,
}

/// A value, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    /// It.
    Known(T),
    /// Why it is not known.
    Unknown(String),
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::Unknown("nobody was asked".to_owned())
    }
}

impl Known<Cpu> {
    /// What a snapshot's daemon takes.
    pub fn governor(snapshot: &Snapshot) -> Self {
        snapshot.tracer.as_ref().map_or_else(Self::default, |tracer| Self::Known(tracer.scans.cpu))
    }
}

impl Diagnosis {
    /// [`Diagnosis::schema`].
    pub const SCHEMA: u32 = 1;

    /// Of hooks that are attached; the sources of names were not asked yet.
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
            name_sources: Vec::new(),
            governor: Known::default(),
        }
    }

    /// The same now: the hooks are as they were attached, the sources of names are asked.
    pub async fn asked_now(&self, names: &sources::Config, latest: &Snapshot) -> Self {
        Self {
            name_sources: sources::examine(names).await,
            governor: Known::governor(latest),
            ..self.clone()
        }
    }
}
