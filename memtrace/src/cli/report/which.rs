//! Filters of kills: whose, and why.
//!
//! Arguments -> the store's filter. Must not read the store.

use clap::Args;

use crate::store::Filter;

/// Whose kills; all of these must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Which {
    /// Only kills with this text in the cgroup path of the victim, or of the limit that was hit.
    #[arg(long, value_name = "TEXT")]
    pub cgroup: Option<String>,
    /// Only kills with this text in the victim's name.
    #[arg(long, value_name = "TEXT")]
    pub comm: Option<String>,
    /// Only kills in pods of this namespace.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Only kills in the pod with exactly this name.
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// Only kills in the container with this name, or whose id starts with it.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Only kills with this cause, such as leak, burst or limit_too_tight; docs/record.md lists all.
    #[arg(long, value_name = "KIND")]
    pub cause: Option<String>,
}

impl Which {
    /// The store's filter, for entries of a period.
    pub fn filter(&self, period: Filter) -> Filter {
        let Self { cgroup, comm, namespace, pod, container, cause } = self.clone();
        // As people type it: leak, limit-too-tight.
        let cause = cause.map(|cause| cause.to_lowercase().replace('-', "_"));
        Filter { cgroup, comm, namespace, pod, container, cause, ..period }
    }
}
