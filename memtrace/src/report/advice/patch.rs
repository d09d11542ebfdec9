//! Advice as a strategic-merge patch for `kubectl patch`.
//!
//! [`Advice`]s of one owner -> YAML. Must not guess a number, and must not leave out a container silently.

use std::fmt::Write as _;

use thiserror::Error;

use crate::{
    container::workload::{OwnerKind, Workload},
    sizing::advise::Advice,
    units::Bytes,
};

/// Why there is no patch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// More than one workload matches.
    #[error("failed to make one patch: these belong to several workloads ({}); name one", owners.join(", "))]
    Several {
        /// Their names.
        owners: Vec<String>,
    },
    /// Not of Kubernetes.
    #[error(
        "failed to make a patch: {workload} is not a container of a pod; set its limit with its own tool \
         (MemoryMax= of a unit, --memory of docker and podman)"
    )]
    NoPod {
        /// Its label.
        workload: String,
    },
    /// No container has numbers.
    #[error("failed to make a patch: there is no number for {workload}: {reason}")]
    NoNumber {
        /// Its label.
        workload: String,
        /// Why not.
        reason: String,
    },
}

/// The patch.
///
/// # Errors
/// See [`PatchError`].
pub fn patch(all: &[Advice]) -> Result<String, PatchError> {
    if let Some(other) = all.iter().find(|advice| advice.of.kind == OwnerKind::None) {
        return Err(PatchError::NoPod { workload: other.workload.clone() });
    }
    let mut owners: Vec<String> =
        all.iter().map(|Advice { of, .. }| format!("{}/{}", of.namespace, of.owner)).collect();
    owners.dedup();
    let Some(first) = all.first().filter(|_| owners.len() == 1) else {
        return Err(PatchError::Several { owners });
    };
    if let Some(none) = all.iter().find(|_| all.iter().all(|advice| advice.limit_bytes.is_none())) {
        return Err(PatchError::NoNumber { workload: none.workload.clone(), reason: none.reason.clone() });
    }
    let Workload { namespace, owner, kind, .. } = &first.of;
    let mut out = format!(
        "# kubectl -n {namespace} patch {} {owner} --type strategic --patch-file THIS-FILE\n",
        kind.name()
    );
    if *kind == OwnerKind::DaemonSet {
        out.push_str("# The pod's name tells a DaemonSet or a Job.\n");
    }
    // A pod's containers are in its own spec, and cannot be changed in most versions.
    let indent = if *kind == OwnerKind::Pod { "  " } else { "      " };
    out.push_str(if *kind == OwnerKind::Pod { "spec:\n" } else { "spec:\n  template:\n    spec:\n" });
    let _ = writeln!(out, "{indent}containers:");
    for advice in all {
        container(&mut out, indent, advice);
    }
    Ok(out)
}

fn container(out: &mut String, indent: &str, advice: &Advice) {
    let Advice { of, reason, days, .. } = advice;
    // A comment ends with its line.
    let reason = reason.replace(['\n', '\r'], " ");
    let (Some(request), Some(limit)) = (advice.request_bytes, advice.limit_bytes) else {
        let _ = writeln!(out, "{indent}# {}: no number: {reason}", of.container);
        return;
    };
    let bound = if advice.is_lower_bound { ", a lower bound" } else { "" };
    let _ = writeln!(out, "{indent}- name: {}", quoted(&of.container));
    let _ = writeln!(out, "{indent}  # {days:.1} days{bound}: {reason}");
    let _ = writeln!(out, "{indent}  resources:");
    let _ = writeln!(out, "{indent}    requests:\n{indent}      memory: {}", quantity(request));
    let _ = writeln!(out, "{indent}    limits:\n{indent}      memory: {}", quantity(limit));
}

/// Whole MiB, rounded up.
fn quantity(bytes: Bytes) -> String {
    format!("{}Mi", bytes.0.div_ceil(1 << 20))
}

/// Names of containers are labels of DNS; `123`, `on` and `null` are too, and YAML takes them for something else.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}
