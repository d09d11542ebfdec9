//! The status of each hook with its reason, for `doctor`, the log and the API.

use serde::{Deserialize, Serialize};

/// The status of one fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// The fact's name.
    pub fact: String,
    /// Whether memtrace cannot start without it.
    pub required: bool,
    /// The attached hook, if any.
    pub attached: Option<String>,
    /// The attached program, and its cost for the verifier.
    #[serde(default)]
    pub program: Option<ProgramCost>,
    /// The hooks that were skipped before, each with its reason.
    pub passed_over: Vec<PassedOver>,
    /// What is lost; `None` while it is attached.
    pub lost: Option<String>,
}

/// A loaded program, with the kernel's figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// The kernel's id of the program.
    pub id: u32,
    /// Name in the kernel object.
    pub name: String,
    /// Instructions that the verifier processed; `None` before 5.16, which does not report it.
    pub verified: Option<u32>,
    /// Instructions of the loaded program.
    pub instructions: Option<u32>,
}

/// A hook that did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub hook: String,
    /// Why not.
    pub why: String,
}

/// Whether the programs that record kills stay attached while no daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outliving {
    /// The directory in bpffs that keeps them; `None` when they are detached with the daemon.
    pub directory: Option<String>,
    /// Without a directory: the reason. Otherwise: what is not recorded of a kill while no daemon runs, and why.
    pub lost: Vec<String>,
}

/// The status of all probes, for `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeStatus {
    /// One for each fact.
    pub hooks: Vec<HookStatus>,
    /// Kernel fields that were not found, or that the self-check found wrong.
    pub missing_fields: Vec<String>,
    /// The result of the self-check, in words.
    pub self_check: String,
    /// 1 in this many page faults is sampled; 0 when none is.
    pub fault_period: u64,
    /// Whether kills are recorded while no daemon runs.
    #[serde(default)]
    pub outliving: Outliving,
}

impl ProbeStatus {
    /// True when every fact has an attached hook.
    pub fn is_complete(&self) -> bool {
        self.missing_fields.is_empty() && self.hooks.iter().all(|hook| hook.attached.is_some())
    }

    /// The attached hook of the fact with this name.
    pub fn attached(&self, fact: &str) -> Option<&str> {
        self.hooks.iter().find(|hook| hook.fact == fact)?.attached.as_deref()
    }
}
