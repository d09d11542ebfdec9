//! Which hooks to try for each fact, decided from facts alone.
//!
//! Input: [`KernelSupport`] and the table. Output: for each fact the hooks to try, in order, and the skipped ones with
//! the reason. Pure: nothing is loaded here.

use memtrace_common::config::{ABSENT, Config, regs_form};

use super::{
    options::Options,
    status::PassedOver,
    support::{KernelSupport, Without},
    table::{FACTS, Fact, Form, Hook},
};

/// The plan for one fact.
#[derive(Clone, Debug)]
pub struct FactPlan {
    /// The row of the table.
    pub fact: &'static Fact,
    /// Hooks to try, in order.
    pub candidates: Vec<&'static Hook>,
    /// Hooks that cannot work here.
    pub passed_over: Vec<PassedOver>,
}

/// The plan for all facts.
pub fn plan(support: &KernelSupport, without: &Without) -> Vec<FactPlan> {
    FACTS
        .iter()
        .map(|fact| {
            let (mut candidates, mut passed_over) = (Vec::new(), Vec::new());
            for hook in fact.hooks {
                match obstacle(hook, support, without) {
                    None => candidates.push(hook),
                    Some(why) => passed_over.push(PassedOver { hook: describe(hook.form), why }),
                }
            }
            FactPlan { fact, candidates, passed_over }
        })
        .collect()
}

/// The least time between two copies of a stack on one CPU, in ns: at most 500 copies per second, about 4 MiB. Only a
/// CPU that faults in more than 128 MiB per second reaches that. A copy takes a few microseconds.
const STACK_INTERVAL: u32 = 2_000_000;

/// The constants of the object: the layout, the forms, and our pid.
pub fn config(support: &KernelSupport, own_tgid: u32, page_size: u32, options: &Options) -> Config {
    let mut config = match &support.types {
        Ok((_, layout)) => layout.config,
        Err(_) => Config::UNKNOWN,
    };
    config.classic_victim = support.classic_victim.unwrap_or(config.classic_victim);
    config.regs_form = if support.task_registers { regs_form::HELPER } else { regs_form::STACK_TOP };
    config.own_tgid = own_tgid;
    config.page_size = page_size;
    config.event_budget = options.event_budget;
    config.stack_bytes = options.stack_bytes;
    config.stack_interval = STACK_INTERVAL;
    config
}

/// Why a hook cannot work here; `None` when it should be tried.
fn obstacle(hook: &Hook, support: &KernelSupport, without: &Without) -> Option<String> {
    let types = support.types.as_ref();
    match hook.form {
        Form::BtfTracepoint { name } => match types {
            Err(why) => Some(why.clone()),
            Ok((types, _)) => {
                types.tracepoint(name).is_none().then(|| format!("this kernel has no tracepoint {name}"))
            }
        },
        Form::FunctionExit { .. } | Form::FunctionEntry { .. } if without.function_exit => {
            Some("switched off".to_owned())
        }
        Form::KernelProbe { .. } => {
            // The program's offsets come from BTF.
            types.err().cloned()
        }
        Form::FunctionExit { function } | Form::FunctionEntry { function } => match types {
            Err(why) => Some(why.clone()),
            Ok((types, _)) => {
                (!types.has_function(function)).then(|| format!("this kernel has no function {function}"))
            }
        },
        Form::Tracepoint { category, name } => match &support.tracefs {
            Err(why) => Some(why.clone()),
            Ok(root) if !root.join("events").join(category).join(name).is_dir() => {
                Some(format!("this kernel has no event {category}:{name}"))
            }
            Ok(_) if hook.reads_registers && !can_read_registers(support) => {
                Some("neither bpf_task_pt_regs nor the location of the kernel stack is known".to_owned())
            }
            Ok(_) => None,
        },
        Form::PageFaults => support.cpus.as_ref().err().cloned(),
    }
}

fn can_read_registers(support: &KernelSupport) -> bool {
    support.task_registers
        || support.types.as_ref().is_ok_and(|(_, layout)| layout.config.offsets.task_stack != ABSENT)
}

/// The name of a hook in the notation of perf and bpftrace.
pub fn describe(form: Form) -> String {
    match form {
        Form::BtfTracepoint { name } => format!("tp_btf:{name}"),
        Form::FunctionExit { function } => format!("fexit:{function}"),
        Form::FunctionEntry { function } => format!("fentry:{function}"),
        Form::KernelProbe { function } => format!("kprobe:{function}"),
        Form::Tracepoint { category, name } => format!("tracepoint:{category}:{name}"),
        Form::PageFaults => "perf:page-faults".to_owned(),
    }
}
