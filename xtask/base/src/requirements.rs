//! What the demo needs from this machine.
//!
//! /proc/self/status and mountinfo -> nothing, or everything that is missing. Must not change anything.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    cgroup::{Home, find_home},
    outcome::NotPermitted,
};

/// Capabilities that loading and attaching the kernel programs takes, by bit.
const NEEDED: [(u32, &str); 3] = [(21, "CAP_SYS_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// Where the demo's cgroup can be made, or everything that is missing.
pub fn check() -> Result<Home> {
    let status = read("/proc/self/status")?;
    let (cgroups, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root: run `sudo -E cargo xtask demo`".to_owned());
    }
    let lacks = missing_capabilities(&status);
    if !lacks.is_empty() {
        missing.push(format!("{}: not in the effective set of this process", lacks.join(", ")));
    }
    let home = find_home(&cgroups, &mounts, &|file: &PathBuf| fs::read_to_string(file).ok());
    match home {
        Some(home) if home.is_writable() => {
            if missing.is_empty() {
                return Ok(home);
            }
        }
        Some(home) => {
            missing.push(format!("a writable memory cgroup: {} is not writable", home.parent.display()))
        }
        None => missing.push("a memory cgroup: the memory controller is not mounted".to_owned()),
    }
    Err(NotPermitted(format!("the demo cannot run; missing:\n  {}", missing.join("\n  "))).into())
}

/// Where a memory cgroup of ours can be made.
pub fn memory_home() -> Result<PathBuf> {
    Ok(check()?.parent)
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {file}"))
}

/// `CapEff: 000001fffeffffff` in /proc/self/status
fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    NEEDED.iter().filter(|(bit, _)| mask & (1 << bit) == 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_lacks_nothing() {
        assert!(missing_capabilities("Name:\txtask\nCapEff:\t000001fffeffffff\n").is_empty());
    }

    #[test]
    fn a_container_s_default_set_lacks_all_three() {
        let lacks = missing_capabilities("CapEff:\t00000000a80425fb\n");
        assert_eq!(lacks, ["CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
    }

    #[test]
    fn a_status_without_the_line_lacks_everything() {
        assert_eq!(missing_capabilities("").len(), NEEDED.len());
    }
}
