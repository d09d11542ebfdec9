//! Loads the object, checks the offsets and attaches the planned programs: the only user of aya's programs.
//!
//! Input: facts, plan, options. Output: [`Probes`], which keep the programs attached until they are dropped.

use aya::{
    Btf, Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{Array, Map, MapData, PerCpuArray, RingBuf},
    programs::{
        BtfTracePoint, FEntry, FExit, KProbe, PerfEvent, Program, ProgramError, RawTracePoint,
        RawTracePointRunOptions, TestRun as _, TracePoint,
        perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent},
    },
};
use memtrace_common::{
    config::{ABSENT, Config},
    event::{Header, Kind, oom::OomKill},
};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    kill_ring::KillRing,
    links::{self, AttachedLink, LinkId, chain, program},
    memlock,
    options::Options,
    pid_namespace::{self, Foreign},
    plan::{self, FactPlan, describe},
    self_check::{self, Mismatch, OwnFacts},
    status::{HookStatus, PassedOver, ProbeStatus, ProgramCost},
    support::{KernelSupport, MissingCapability},
    table::{Form, Hook, Need, OUTLIVING, SELF_CHECK},
};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memtrace.bpf.o"));

/// Names of the maps in the object.
const STREAM: &str = "STREAM";
pub(super) const KILLS: &str = "KILLS";
const SIGNALS: &str = "SIGNALS";
const STACKS: &str = "STACKS";
pub(super) const COUNTERS: &str = "COUNTERS";
const GOVERNOR: &str = "GOVERNOR";

/// The attached programs and their maps.
pub struct Probes {
    /// Address-space, fault and task events.
    pub stream: RingBuf<MapData>,
    /// OOM kills.
    pub kills: KillRing,
    /// Signals that end processes.
    pub signals: RingBuf<MapData>,
    /// Copies of user stacks.
    pub stacks: RingBuf<MapData>,
    /// Losses in the kernel.
    pub counters: PerCpuArray<MapData, u64>,
    /// The shifts of the governor, see `daemon::governor`.
    pub governor: Array<MapData, u64>,
    /// The status of each hook.
    pub status: ProbeStatus,
    /// The links of the programs that can stay attached when this process ends; they are in `object` until they are
    /// pinned.
    pub links: Vec<AttachedLink>,
    /// Keeps the programs attached.
    pub object: Ebpf,
}

/// Why tracing cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The process lacks capabilities.
    #[error("not permitted to trace: {}", list(.0))]
    NotPermitted(Vec<MissingCapability>),
    /// No hook for a required fact can be attached.
    #[error("failed to trace {fact}: {why}")]
    Required {
        /// Name of the fact.
        fact: String,
        /// The reason.
        why: String,
        /// The status of all hooks.
        status: Box<ProbeStatus>,
    },
    /// The kernel's process ids mean other processes in /proc.
    #[error(transparent)]
    PidNamespace(#[from] Foreign),
    /// The object does not load.
    #[error("{0}")]
    Failed(String),
}

fn list(missing: &[MissingCapability]) -> String {
    let each: Vec<_> =
        missing.iter().map(|cap| format!("{} is missing ({})", cap.name, cap.purpose)).collect();
    each.join(", ")
}

/// Loads, checks and attaches.
///
/// # Errors
/// When capabilities are missing, or no hook for a required fact works.
pub fn attach(support: &KernelSupport, options: &Options, own: &OwnFacts) -> Result<Probes, AttachError> {
    let missing: Vec<_> = support.missing_capabilities.iter().filter(|cap| cap.required).copied().collect();
    if !missing.is_empty() {
        return Err(AttachError::NotPermitted(missing));
    }
    // Without the kernel programs, which cannot run everywhere.
    pid_namespace::judge(None, &own.ids)?;
    let page_size = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    let config = plan::config(support, std::process::id(), page_size, options);
    let (mut object, self_check, mut missing_fields) = load_checked(config, own)?;
    if let Ok((_, layout)) = &support.types {
        missing_fields.splice(0..0, layout.missing.iter().cloned());
    }
    let btf = support.types.is_ok().then(Btf::from_sys_fs).and_then(Result::ok);
    let cpus = support.cpus.as_deref().unwrap_or_default();
    let (mut hooks, mut links) = (Vec::new(), Vec::new());
    for plan in plan::plan(support, &options.without) {
        hooks.push(attach_fact(&mut object, plan, btf.as_ref(), cpus, options.fault_period, &mut links));
    }
    let status = ProbeStatus {
        hooks,
        missing_fields,
        self_check,
        fault_period: options.fault_period,
        ..ProbeStatus::default()
    };
    if let Some(hook) = status.hooks.iter().find(|hook| hook.required && hook.attached.is_none()) {
        let reasons: Vec<_> =
            hook.passed_over.iter().map(|passed| format!("{}: {}", passed.hook, passed.why)).collect();
        let (fact, why) = (hook.fact.clone(), reasons.join("; "));
        return Err(AttachError::Required { fact, why, status: Box::new(status) });
    }
    let failed =
        |name: &str| AttachError::Failed(format!("failed to open the map {name} of the kernel object"));
    Ok(Probes {
        stream: take(&mut object, STREAM)
            .and_then(|map| RingBuf::try_from(map).ok())
            .ok_or_else(|| failed(STREAM))?,
        kills: take(&mut object, KILLS)
            .and_then(|map| if let Map::RingBuf(map) = map { KillRing::open(map).ok() } else { None })
            .ok_or_else(|| failed(KILLS))?,
        signals: take(&mut object, SIGNALS)
            .and_then(|map| RingBuf::try_from(map).ok())
            .ok_or_else(|| failed(SIGNALS))?,
        stacks: take(&mut object, STACKS)
            .and_then(|map| RingBuf::try_from(map).ok())
            .ok_or_else(|| failed(STACKS))?,
        counters: take(&mut object, COUNTERS)
            .and_then(|map| PerCpuArray::try_from(map).ok())
            .ok_or_else(|| failed(COUNTERS))?,
        governor: take(&mut object, GOVERNOR)
            .and_then(|map| Array::try_from(map).ok())
            .ok_or_else(|| failed(GOVERNOR))?,
        status,
        links,
        object,
    })
}

fn take(object: &mut Ebpf, name: &str) -> Option<Map> {
    object.take_map(name)
}

fn load(config: &Config) -> Result<Ebpf, AttachError> {
    EbpfLoader::new().override_global("CONFIG", config.as_bytes(), true).load(OBJECT).map_err(|error| {
        let (why, hint) = (chain(&error), memlock::hint(&error));
        AttachError::Failed(format!("failed to load the kernel object: {why}{hint}"))
    })
}

/// Loads the object and runs the self-check on this process. Fields that are wrong are disabled and the object is
/// loaded again, so that no wrong figure is reported; the third value names these fields.
fn load_checked(mut config: Config, own: &OwnFacts) -> Result<(Ebpf, String, Vec<String>), AttachError> {
    let mut wrong = Vec::new();
    let mut object = load(&config)?;
    if config.offsets.task_tgid == ABSENT {
        return Ok((object, "not done: no kernel fields are known".to_owned(), wrong));
    }
    let record = match run_self_check(&mut object) {
        Ok(record) => record,
        Err(why) => return Ok((object, format!("not done: {why}"), wrong)),
    };
    pid_namespace::judge(Some(record.header.tgid), &own.ids)?;
    let (agreed, mismatches) = self_check::compare(&record, own);
    if mismatches.is_empty() {
        return Ok((object, format!("{agreed} values agree with /proc"), wrong));
    }
    for Mismatch { fields, what } in &mismatches {
        for (structure, member, offset) in config.offsets.fields() {
            if fields.contains(&format!("{structure}.{member}").as_str()) {
                *offset = ABSENT;
            }
        }
        wrong.push(what.clone());
    }
    drop(object);
    let object = load(&config)?;
    Ok((object, format!("{agreed} values agree with /proc, {} do not", mismatches.len()), wrong))
}

fn run_self_check(object: &mut Ebpf) -> Result<OomKill, String> {
    let program: &mut RawTracePoint = program(object, SELF_CHECK)?;
    program.load().map_err(|error| chain(&error))?;
    program.test_run(RawTracePointRunOptions::new()).map_err(|error| chain(&error))?;
    let map = object.map_mut(KILLS).ok_or("the object has no ring buffer for kills")?;
    let mut ring = RingBuf::try_from(map).map_err(|error| chain(&error))?;
    while let Some(item) = ring.next() {
        let kind = Header::read_from_prefix(&item).ok().and_then(|(header, _)| Kind::from_u16(header.kind));
        if kind == Some(Kind::SelfCheck)
            && let Ok(record) = OomKill::read_from_bytes(&item)
        {
            return Ok(record);
        }
    }
    Err("the program ran but sent nothing".to_owned())
}

fn attach_fact(
    object: &mut Ebpf,
    plan: FactPlan,
    btf: Option<&Btf>,
    cpus: &[u32],
    fault_period: u64,
    links: &mut Vec<AttachedLink>,
) -> HookStatus {
    let FactPlan { fact, candidates, mut passed_over } = plan;
    let (mut attached, mut program) = (None, None);
    for hook in candidates {
        match attach_hook(object, hook, btf, cpus, fault_period) {
            Ok(id) => {
                if let Some(id) = id.filter(|_| OUTLIVING.contains(&fact.name)) {
                    links.push(AttachedLink { fact: fact.name, hook, id });
                }
                attached = Some(describe(hook.form));
                program = object.program(hook.program).and_then(|loaded| cost(hook.program, loaded));
                break;
            }
            Err(why) => passed_over.push(PassedOver { hook: describe(hook.form), why }),
        }
    }
    HookStatus {
        fact: fact.name.to_owned(),
        required: fact.need == Need::Required,
        lost: attached.is_none().then(|| fact.lost.to_owned()),
        attached,
        program,
        passed_over,
    }
}

fn cost(name: &str, program: &Program) -> Option<ProgramCost> {
    let info = program.info().ok()?;
    Some(ProgramCost {
        id: info.id(),
        name: name.to_owned(),
        verified: info.verified_instruction_count(),
        // Eight bytes each (struct bpf_insn).
        instructions: info.size_translated().map(|bytes| bytes / 8),
    })
}

fn attach_hook(
    object: &mut Ebpf,
    hook: &Hook,
    btf: Option<&Btf>,
    cpus: &[u32],
    fault_period: u64,
) -> Result<Option<LinkId>, String> {
    let error = |error: ProgramError| chain(&error);
    let need_btf = || btf.ok_or_else(|| "no BTF".to_owned());
    match hook.form {
        Form::BtfTracepoint { name } => {
            let program: &mut BtfTracePoint = program(object, hook.program)?;
            program.load(name, need_btf()?).map_err(error)?;
            links::attach(object, hook)
        }
        Form::FunctionExit { function } => {
            let program: &mut FExit = program(object, hook.program)?;
            program.load(function, need_btf()?).map_err(error)?;
            program.attach().map(|_| None).map_err(error)
        }
        Form::FunctionEntry { function } => {
            let program: &mut FEntry = program(object, hook.program)?;
            program.load(function, need_btf()?).map_err(error)?;
            links::attach(object, hook)
        }
        Form::KernelProbe { .. } => {
            let program: &mut KProbe = program(object, hook.program)?;
            program.load().map_err(error)?;
            links::attach(object, hook)
        }
        Form::Tracepoint { .. } => {
            let program: &mut TracePoint = program(object, hook.program)?;
            program.load().map_err(error)?;
            links::attach(object, hook)
        }
        Form::PageFaults => {
            if fault_period == 0 {
                return Err("switched off".to_owned());
            }
            let program: &mut PerfEvent = program(object, hook.program)?;
            program.load().map_err(error)?;
            for cpu in cpus {
                program
                    .attach(
                        PerfEventConfig::Software(SoftwareEvent::PageFaults),
                        PerfEventScope::AllProcessesOneCpu { cpu: *cpu },
                        SamplePolicy::Period(fault_period),
                        false,
                    )
                    .map_err(error)?;
            }
            Ok(None)
        }
    }
}
