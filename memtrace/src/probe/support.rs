//! Facts about the running kernel and this process. Facts only: the rules are in `plan`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use memtrace_common::config::ClassicVictim;
use rustix::thread::{CapabilitySet, capabilities};

use super::{
    btf::KernelTypes,
    offsets::{self, Layout},
    tracefs::parse_format,
};

/// Kernel's description of its own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The facts about this kernel and this process.
#[derive(Debug)]
pub struct KernelSupport {
    /// BTF and the layout found in it, or why there is none.
    pub types: Result<(KernelTypes, Layout), String>,
    /// Tracefs, or why it cannot be used.
    pub tracefs: Result<PathBuf, String>,
    /// Fields of `oom:mark_victim`, when tracefs has it.
    pub classic_victim: Option<ClassicVictim>,
    /// Whether programs can call `bpf_task_pt_regs` (5.15).
    pub task_registers: bool,
    /// CPUs that are online.
    pub cpus: Result<Vec<u32>, String>,
    /// Capabilities that are missing from the effective set.
    pub missing_capabilities: Vec<MissingCapability>,
}

/// A missing capability, and its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingCapability {
    /// Its name, `CAP_*`.
    pub name: &'static str,
    /// What memtrace does with it.
    pub purpose: &'static str,
    /// Whether memtrace cannot trace at all without it.
    pub required: bool,
}

/// Capabilities that memtrace uses; CAP_SYS_ADMIN replaces the first two.
const CAPABILITIES: &[(CapabilitySet, MissingCapability)] = &[
    (CapabilitySet::BPF, cap("CAP_BPF", "load the kernel programs", true)),
    (CapabilitySet::PERFMON, cap("CAP_PERFMON", "attach the kernel programs", true)),
    (
        CapabilitySet::SYS_PTRACE,
        cap("CAP_SYS_PTRACE", "read the memory maps of other users' processes", false),
    ),
    (CapabilitySet::DAC_READ_SEARCH, cap("CAP_DAC_READ_SEARCH", "read other users' files in /proc", false)),
    (
        CapabilitySet::CHECKPOINT_RESTORE,
        cap("CAP_CHECKPOINT_RESTORE", "open the files that processes have mapped", false),
    ),
    (
        CapabilitySet::SYSLOG,
        cap("CAP_SYSLOG", "read kernel addresses, which tell the scope of a kill", false),
    ),
];

const fn cap(name: &'static str, purpose: &'static str, required: bool) -> MissingCapability {
    MissingCapability { name, purpose, required }
}

/// Features that are treated as missing, on request of the user or a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Treat BTF as missing.
    pub btf: bool,
    /// Treat tracefs as missing.
    pub tracefs: bool,
    /// Do not use programs at function exits.
    pub function_exit: bool,
    /// Treat `bpf_task_pt_regs` as missing.
    pub task_registers: bool,
}

/// Collects the facts. `tracefs` is the result of `tracefs::ensure`, which must run before other threads start.
pub fn probe(without: &Without, tracefs: Result<PathBuf, String>) -> KernelSupport {
    let types = if without.btf {
        Err("switched off".to_owned())
    } else {
        KernelTypes::open(Path::new(VMLINUX))
            .map(|types| {
                let layout = offsets::look_up(&types);
                (types, layout)
            })
            .map_err(|error| format!("failed to read {VMLINUX}: {error} (it needs CONFIG_DEBUG_INFO_BTF)"))
    };
    let tracefs = if without.tracefs { Err("switched off".to_owned()) } else { tracefs };
    let classic_victim = tracefs.as_ref().ok().and_then(|root| {
        let format = fs::read_to_string(root.join("events/oom/mark_victim/format")).ok()?;
        Some(classic_victim(&format))
    });
    KernelSupport {
        types,
        tracefs,
        classic_victim,
        task_registers: !without.task_registers
            && is_helper_supported(ProgramType::TracePoint, BpfHelper::BPF_FUNC_task_pt_regs)
                .unwrap_or(false),
        cpus: aya::util::online_cpus().map_err(|(path, error)| format!("failed to read {path}: {error}")),
        missing_capabilities: missing_capabilities(),
    }
}

/// The capabilities that are not effective.
pub fn missing_capabilities() -> Vec<MissingCapability> {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let has = |capability| effective.contains(capability);
    let admin = has(CapabilitySet::SYS_ADMIN);
    CAPABILITIES
        .iter()
        .filter(|(capability, missing)| !(has(*capability) || missing.required && admin))
        .map(|(_, missing)| *missing)
        .collect()
}

/// The offsets of the fields of `oom:mark_victim`. A field of an unexpected size counts as absent.
fn classic_victim(format: &str) -> ClassicVictim {
    let fields = parse_format(format);
    let mut victim = ClassicVictim::UNKNOWN;
    let long = size_of::<u64>() as u32;
    for (name, size, offset) in [
        ("pid", 4, &mut victim.pid),
        ("comm", 4, &mut victim.comm),
        ("total_vm", long, &mut victim.total_vm),
        ("anon_rss", long, &mut victim.anon_rss),
        ("file_rss", long, &mut victim.file_rss),
        ("shmem_rss", long, &mut victim.shmem_rss),
        ("uid", 4, &mut victim.uid),
        ("pgtables", long, &mut victim.pgtables),
        ("oom_score_adj", 2, &mut victim.oom_score_adj),
    ] {
        if let Some(field) = fields.iter().find(|field| field.name == name && field.size == size) {
            *offset = field.offset;
        }
    }
    victim
}

#[cfg(test)]
mod tests {
    use memtrace_common::config::{ABSENT, ClassicVictim};

    use super::classic_victim;

    #[test]
    fn the_older_shape_has_a_pid_alone() {
        let format = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
                      \tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;\n";
        assert_eq!(classic_victim(format), ClassicVictim { pid: 8, ..ClassicVictim::UNKNOWN });
    }

    #[test]
    fn a_field_of_another_size_is_not_read() {
        let format = "\tfield:unsigned int anon_rss;\toffset:24;\tsize:4;\tsigned:0;\n";
        assert_eq!(classic_victim(format).anon_rss, ABSENT);
    }
}
