//! Drops privileges that are not needed after attaching.
//!
//! Input: this thread's capabilities. Output: fewer, for this thread and the processes that it starts. Must run while
//! there is one thread, because capabilities are per thread.

use rustix::{
    io,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    },
};

/// The capabilities that are kept, each with its use.
const KEPT: [(CapabilitySet, &str); 5] = [
    // Since 5.19 any process may read a map whose descriptor it has.
    (CapabilitySet::BPF, "read the programs' counters"),
    (
        CapabilitySet::SYS_PTRACE,
        "read the memory maps and the allocators' counters of other users' processes",
    ),
    (
        CapabilitySet::DAC_READ_SEARCH,
        "read the files of other users' processes, and the links to what they have mapped",
    ),
    (CapabilitySet::SYSLOG, "read the kernel's symbols and its log"),
    (CapabilitySet::CHECKPOINT_RESTORE, "open the files that processes have mapped"),
];

/// Drops all others. Returns the names of those that are left. Programs that are attached stay attached.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_others() -> io::Result<Vec<String>> {
    let had = capabilities(None)?.permitted;
    let kept = to_keep(had);
    // Whatever becomes of the bounding set, the capabilities are dropped.
    let bounding = if had.contains(CapabilitySet::SETPCAP) { shrink_bounding_set(kept) } else { Ok(()) };
    let no_new_privs = set_no_new_privs(true);
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    bounding.and(no_new_privs)?;
    let mut names: Vec<String> = kept.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    names.sort();
    Ok(names)
}

/// A program that root executes gets the whole bounding set; reader processes must not get more than the daemon has. This
/// takes CAP_SETPCAP, which a container or unit need not grant.
fn shrink_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    for (_, capability) in (!kept).iter_names() {
        match remove_capability_from_bounding_set(capability) {
            // EINVAL: this kernel does not have the capability.
            Ok(()) | Err(io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn to_keep(had: CapabilitySet) -> CapabilitySet {
    let needed = KEPT.iter().fold(CapabilitySet::empty(), |all, (capability, _)| all | *capability);
    // CAP_SYS_ADMIN replaces CAP_BPF on older kernels.
    let stand_in =
        if had.contains(CapabilitySet::BPF) { CapabilitySet::empty() } else { CapabilitySet::SYS_ADMIN };
    had & (needed | stand_in)
}

#[cfg(test)]
mod tests {
    use super::{CapabilitySet, to_keep};

    #[test]
    fn nothing_is_kept_that_was_not_there_or_is_not_needed() {
        let (bpf, admin, chown) = (CapabilitySet::BPF, CapabilitySet::SYS_ADMIN, CapabilitySet::CHOWN);
        assert_eq!(to_keep(bpf | admin | chown), bpf);
        assert_eq!(to_keep(admin | chown), admin);
        assert_eq!(to_keep(chown), CapabilitySet::empty());
    }
}
