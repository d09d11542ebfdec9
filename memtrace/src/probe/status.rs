//! What came of each hook: a verdict with its reason, for `doctor`, the log and the API.

use serde::{Deserialize, Serialize};

/// What came of one fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// The fact's name.
    pub fact: String,
    /// Whether memtrace cannot start without it.
    pub required: bool,
    /// How it is got, when it is.
    pub attached: Option<String>,
    /// The program that gets it, and what it cost the verifier.
    #[serde(default)]
    pub program: Option<ProgramCost>,
    /// The ways that were passed over before, each with its reason.
    pub passed_over: Vec<PassedOver>,
    /// What is lost; `None` while it is attached.
    pub lost: Option<String>,
}

/// A loaded program, as the kernel counts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// The kernel's number for it.
    pub id: u32,
    /// Name in the kernel object.
    pub name: String,
    /// Instructions that the verifier walked; `None` before 5.16, which does not say.
    pub verified: Option<u32>,
    /// Instructions that were left to run.
    pub instructions: Option<u32>,
}

/// A way that did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub hook: String,
    /// Why not.
    pub why: String,
}

/// Everything that `doctor` says about the probes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeStatus {
    /// One for each fact.
    pub hooks: Vec<HookStatus>,
    /// Kernel fields that were not found, or that the self-check found wrong.
    pub missing_fields: Vec<String>,
    /// What the self-check compared with /proc, in words.
    pub self_check: String,
    /// One page fault of so many is sampled; 0 when none is.
    pub fault_period: u64,
}

impl ProbeStatus {
    /// True when every fact is got.
    pub fn is_complete(&self) -> bool {
        self.missing_fields.is_empty() && self.hooks.iter().all(|hook| hook.attached.is_some())
    }

    /// How the fact of this name is got.
    pub fn attached(&self, fact: &str) -> Option<&str> {
        self.hooks.iter().find(|hook| hook.fact == fact)?.attached.as_deref()
    }
}
