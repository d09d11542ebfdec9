//! Attaches loaded programs, and takes the links that keep them attached.
//!
//! A program and its hook -> the id of its link, and the link itself as a descriptor that can be pinned. Must not load.

use aya::{
    Ebpf,
    programs::{
        BtfTracePoint, FEntry, KProbe, Program, ProgramError, TracePoint,
        fentry::FEntryLinkId,
        kprobe::KProbeLinkId,
        links::{FdLink, LinkError},
        tp_btf::BtfTracePointLinkId,
        trace_point::TracePointLinkId,
    },
};

use super::table::{Form, Hook};

/// The id of a link, by the kind of the program.
#[derive(Debug)]
pub enum LinkId {
    /// Of a tracepoint with typed arguments.
    BtfTracepoint(BtfTracePointLinkId),
    /// Of a function's entry with typed arguments.
    FunctionEntry(FEntryLinkId),
    /// Of a breakpoint.
    KernelProbe(KProbeLinkId),
    /// Of a classic tracepoint.
    Tracepoint(TracePointLinkId),
}

/// An attached program that can outlive this process.
#[derive(Debug)]
pub struct AttachedLink {
    /// The fact.
    pub fact: &'static str,
    /// The hook that it is attached to.
    pub hook: &'static Hook,
    /// Its link.
    pub id: LinkId,
}

/// Attaches a loaded program; `None` for a form whose link is never needed.
///
/// # Errors
/// When the kernel refuses.
pub fn attach(object: &mut Ebpf, hook: &Hook) -> Result<Option<LinkId>, String> {
    let error = |error: ProgramError| chain(&error);
    match hook.form {
        Form::BtfTracepoint { .. } => {
            let program: &mut BtfTracePoint = program(object, hook.program)?;
            program.attach().map(|id| Some(LinkId::BtfTracepoint(id))).map_err(error)
        }
        Form::FunctionEntry { .. } => {
            let program: &mut FEntry = program(object, hook.program)?;
            program.attach().map(|id| Some(LinkId::FunctionEntry(id))).map_err(error)
        }
        Form::KernelProbe { function } => {
            let program: &mut KProbe = program(object, hook.program)?;
            program.attach(function, 0).map(|id| Some(LinkId::KernelProbe(id))).map_err(error)
        }
        Form::Tracepoint { category, name } => {
            let program: &mut TracePoint = program(object, hook.program)?;
            program.attach(category, name).map(|id| Some(LinkId::Tracepoint(id))).map_err(error)
        }
        Form::FunctionExit { .. } | Form::PageFaults => Ok(None),
    }
}

impl AttachedLink {
    /// Why this kernel cannot keep the program attached; `None` if it can.
    pub fn obstacle(&self) -> Option<String> {
        let is_perf_event = matches!(self.id, LinkId::KernelProbe(_) | LinkId::Tracepoint(_));
        (is_perf_event && !aya::features().bpf_perf_link())
            .then(|| "this kernel has no BPF links for perf events, which came with 5.15".to_owned())
    }

    /// Takes the link out of the object. The program stays attached as long as the link or a pin of it exists.
    ///
    /// # Errors
    /// When the object has no such link. With an [`obstacle`](Self::obstacle) the program is detached.
    pub fn take(self, object: &mut Ebpf) -> Result<FdLink, String> {
        let (error, no_link) = (|error: ProgramError| chain(&error), |error: LinkError| chain(&error));
        match self.id {
            LinkId::BtfTracepoint(id) => {
                let program: &mut BtfTracePoint = program(object, self.hook.program)?;
                program.take_link(id).map(FdLink::from).map_err(error)
            }
            LinkId::FunctionEntry(id) => {
                let program: &mut FEntry = program(object, self.hook.program)?;
                program.take_link(id).map(FdLink::from).map_err(error)
            }
            LinkId::KernelProbe(id) => {
                let program: &mut KProbe = program(object, self.hook.program)?;
                program.take_link(id).map_err(error)?.try_into().map_err(no_link)
            }
            LinkId::Tracepoint(id) => {
                let program: &mut TracePoint = program(object, self.hook.program)?;
                program.take_link(id).map_err(error)?.try_into().map_err(no_link)
            }
        }
    }
}

/// A program of the object, as its kind.
///
/// # Errors
/// When there is none of this name and kind.
pub fn program<'a, P>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = object.program_mut(name).ok_or_else(|| format!("the object has no program {name}"))?;
    program.try_into().map_err(|error: ProgramError| chain(&error))
}

/// An error with its causes; of the verifier's log only the last lines.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.downcast_ref::<ProgramError>() {
        Some(ProgramError::LoadError { io_error, verifier_log }) => {
            let log = verifier_log.to_string();
            let tail: Vec<_> = log.lines().rev().take(4).collect();
            if tail.is_empty() {
                format!("refused: {io_error}")
            } else {
                format!(
                    "refused: {io_error}; verifier: {}",
                    tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
                )
            }
        }
        _ => error.to_string(),
    };
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
