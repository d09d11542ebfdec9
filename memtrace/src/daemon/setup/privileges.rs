//! Privileges that are not needed after attaching are given up.
//!
//! Input: this thread's capabilities. Output: fewer. Must run while there is one thread: the kernel has them by thread.

use caps::{CapSet, Capability, CapsHashSet};

/// What the daemon still does with a capability.
const KEPT: [(Capability, &str); 5] = [
    // From 5.19 on any process may read a map whose descriptor it has.
    (Capability::CAP_BPF, "read the programs' counters"),
    (
        Capability::CAP_SYS_PTRACE,
        "read the memory maps and the allocators' counters of other users' processes",
    ),
    (
        Capability::CAP_DAC_READ_SEARCH,
        "read the files of other users' processes, and the links to what they have mapped",
    ),
    (Capability::CAP_SYSLOG, "read the kernel's symbols and its log"),
    (Capability::CAP_CHECKPOINT_RESTORE, "open the files that processes have mapped"),
];

/// Gives up all others; returns what is left. Programs that are attached stay attached.
///
/// # Errors
/// In words, when the kernel refuses.
pub fn drop_others() -> Result<Vec<String>, String> {
    let failed = |error: caps::errors::CapsError| error.to_string();
    let had = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let mut kept: CapsHashSet = KEPT.iter().map(|(capability, _)| *capability).collect();
    // Where it stands in for CAP_BPF.
    if !had.contains(&Capability::CAP_BPF) {
        kept.insert(Capability::CAP_SYS_ADMIN);
    }
    kept.retain(|capability| had.contains(capability));
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    let mut names: Vec<String> = kept.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(names)
}
