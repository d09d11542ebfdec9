//! Whether /proc and the kernel programs mean the same process by the same id.
//!
//! The ids of this process, by the kernel programs and by /proc -> a reason to refuse, if they differ. Pure.
//!
//! The kernel programs send ids of the initial pid namespace. /proc shows the ids of the namespace that it was mounted
//! in, and `cgroup.procs` those of its reader's namespace. In a nested namespace (a container without the host's pid
//! namespace) all of them are numbers, and an id from the kernel is somebody else's in /proc.
//!
//! Nothing is translated, because no translation is complete:
//!
//! - `bpf_get_ns_current_pid_tgid` translates the ids of the current task only. A victim, a signal's target and a forked
//!   child are other tasks.
//! - `task->thread_pid->numbers` has the ids of any task, but only in its own namespaces. A process outside of ours has
//!   no id in our /proc: its memory cannot be read, and these are the processes that a node's tracer is for.
//! - The kernel log and the classic `oom:mark_victim` record contain initial ids of processes that are gone.

use thiserror::Error;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO` in the kernel's `proc_ns.h`).
const INITIAL: u64 = 0xEFFF_FFFC;

/// The ids of this process outside of the kernel programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnIds {
    /// `getpid()`: the id in the pid namespace of this process.
    pub own: u32,
    /// The target of `/proc/self`: the id in the namespace of that procfs. `None` if this process has no id there.
    pub in_proc: Option<u32>,
    /// `NSpid` of `/proc/self/status`: the ids from the namespace of that procfs down to the one of this process. Empty
    /// if the kernel does not show it.
    pub levels: Vec<u32>,
    /// Inode of `/proc/self/ns/pid`, the namespace of this process.
    pub namespace: Option<u64>,
}

/// Why ids from the kernel programs have another meaning here. Each message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Foreign {
    /// A nested namespace with a /proc of its own: a container without the host's pid namespace.
    #[error(
        "this process has a pid namespace of its own (its id is {own} here{}), so the kernel's process ids mean other \
         processes in /proc: {REMEDY}",
        kernel_says(*.kernel)
    )]
    Nested {
        /// The id in this namespace.
        own: u32,
        /// The id in the initial one, if the kernel programs have told it.
        kernel: Option<u32>,
    },
    /// A nested namespace, with the /proc of an outer one.
    #[error(
        "this process has a pid namespace of its own (its id is {own} here and {in_proc} in /proc), so the process ids in \
         cgroup.procs differ from those in /proc: {REMEDY}"
    )]
    OuterProc {
        /// The id in this namespace.
        own: u32,
        /// The id in that of /proc.
        in_proc: u32,
    },
    /// The initial namespace, with the /proc of another one.
    #[error(
        "/proc belongs to another pid namespace, in which this process (id {own}) is {}: mount the node's own procfs at \
         /proc; a pod gets it with `hostPID: true`, a docker or podman container with `--pid=host`",
        in_proc.map_or_else(|| "missing".to_owned(), |id| format!("{id}"))
    )]
    OtherProc {
        /// The id in the initial namespace.
        own: u32,
        /// The id in that of /proc.
        in_proc: Option<u32>,
    },
}

const REMEDY: &str = "set `hostPID: true` in the pod, or `--pid=host` with docker or podman; if the node is itself a \
                      container (kind, k3d), run memtrace on the machine below it";

fn kernel_says(kernel: Option<u32>) -> String {
    kernel.map_or_else(String::new, |id| format!(" and {id} in the kernel"))
}

/// Compares the ids of this process. `kernel` is its id in the initial namespace, from the kernel programs; `None` if
/// they have not run.
///
/// The kernel's id decides, if it differs. If it is the same, that may be a coincidence, which the inode excludes. The
/// inode alone is enough as well: a procfs that shows a process of the initial namespace is that namespace's, because a
/// process has ids only in its own namespace and the outer ones. How procfs is mounted (`hidepid`, a private mount) does
/// not matter.
///
/// # Errors
/// When ids from the kernel must not be looked up in this /proc.
pub fn judge(kernel: Option<u32>, ids: &OwnIds) -> Result<(), Foreign> {
    let OwnIds { own, in_proc, ref levels, namespace } = *ids;
    let is_outer = levels.len() > 1;
    let is_nested = is_outer
        || kernel.is_some_and(|kernel| kernel != own)
        || namespace.is_some_and(|inode| inode != INITIAL);
    match in_proc {
        Some(in_proc) if is_nested && (is_outer || in_proc != own) => {
            Err(Foreign::OuterProc { own, in_proc })
        }
        _ if is_nested => Err(Foreign::Nested { own, kernel }),
        Some(in_proc) if in_proc == own => Ok(()),
        in_proc => Err(Foreign::OtherProc { own, in_proc }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Foreign, INITIAL, OwnIds, judge};

    const OTHER: u64 = INITIAL + 613;

    fn host() -> OwnIds {
        OwnIds { own: 4711, in_proc: Some(4711), levels: vec![4711], namespace: Some(INITIAL) }
    }

    /// In a container without the host's pid namespace, with the container's procfs.
    fn nested() -> OwnIds {
        OwnIds { own: 7, in_proc: Some(7), levels: vec![7], namespace: Some(OTHER) }
    }

    #[test]
    fn the_nodes_namespace_is_accepted_whatever_could_be_read() {
        assert_eq!(judge(Some(4711), &host()), Ok(()));
        assert_eq!(judge(None, &host()), Ok(()), "the kernel programs did not run");
        let bare = OwnIds { levels: Vec::new(), namespace: None, ..host() };
        assert_eq!(judge(Some(4711), &bare), Ok(()), "a kernel without pid namespaces");
        assert_eq!(judge(None, &bare), Ok(()));
    }

    #[test]
    fn a_container_is_recognised_by_the_kernels_id_and_by_the_inode() {
        let expected = |kernel| Err(Foreign::Nested { own: 7, kernel });
        assert_eq!(judge(Some(4711), &nested()), expected(Some(4711)));
        assert_eq!(judge(None, &nested()), expected(None));
        assert_eq!(judge(Some(7), &nested()), expected(Some(7)), "the same number by coincidence");
        let hidden = OwnIds { namespace: None, ..nested() };
        assert_eq!(judge(Some(4711), &hidden), expected(Some(4711)));
        // Nothing says otherwise.
        assert_eq!(judge(None, &hidden), Ok(()));
        let claimed = OwnIds { namespace: Some(INITIAL), ..nested() };
        assert_eq!(judge(Some(4711), &claimed), expected(Some(4711)), "the kernel is believed");
    }

    #[test]
    fn a_proc_of_the_node_does_not_make_a_nested_process_one_of_the_node() {
        let ids = OwnIds { own: 7, in_proc: Some(4711), levels: vec![4711, 7], namespace: Some(OTHER) };
        let expected = Err(Foreign::OuterProc { own: 7, in_proc: 4711 });
        assert_eq!(judge(Some(4711), &ids), expected);
        assert_eq!(judge(None, &ids), expected);
        assert_eq!(judge(None, &OwnIds { namespace: None, ..ids.clone() }), expected);
        // Both numbers are the same, the namespaces are not.
        let same = OwnIds { own: 7, in_proc: Some(7), levels: vec![7, 7], namespace: None };
        assert_eq!(judge(Some(7), &same), Err(Foreign::OuterProc { own: 7, in_proc: 7 }));
    }

    #[test]
    fn a_proc_of_another_namespace_is_no_proc_for_the_node() {
        let ids = OwnIds { in_proc: None, levels: Vec::new(), namespace: None, ..host() };
        for kernel in [Some(4711), None] {
            assert_eq!(judge(kernel, &ids), Err(Foreign::OtherProc { own: 4711, in_proc: None }));
        }
    }

    #[test]
    fn each_message_names_the_remedy_in_one_line() {
        let foreign = [
            Foreign::Nested { own: 7, kernel: Some(4711) },
            Foreign::Nested { own: 7, kernel: None },
            Foreign::OuterProc { own: 7, in_proc: 4711 },
            Foreign::OtherProc { own: 4711, in_proc: None },
        ];
        for text in foreign.map(|foreign| foreign.to_string()) {
            assert!(text.contains("`hostPID: true`") && text.contains("`--pid=host`"), "{text}");
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        }
        let text = foreign[0].to_string();
        assert!(text.contains("its id is 7 here and 4711 in the kernel"), "{text}");
    }

    proptest! {
        /// Whatever is accepted is consistent.
        #[test]
        fn an_accepted_proc_has_the_kernels_id(
            kernel in proptest::option::of(1_u32..4),
            own in 1_u32..4,
            in_proc in proptest::option::of(1_u32..4),
            levels in proptest::collection::vec(1_u32..4, 0..3),
            namespace in proptest::option::of(prop_oneof![Just(INITIAL), Just(OTHER)]),
        ) {
            let ids = OwnIds { own, in_proc, levels, namespace };
            if judge(kernel, &ids).is_ok() {
                prop_assert_eq!(ids.in_proc, Some(own));
                prop_assert!(kernel.is_none_or(|kernel| kernel == own));
                prop_assert!(ids.namespace != Some(OTHER) && ids.levels.len() < 2);
            }
        }
    }
}
