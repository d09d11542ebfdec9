//! Thread stacks: there are so many threads that their user and kernel stacks are much of the charge.

use super::{
    Case, Cause, CauseKind, Doubt, Outcome,
    case::{fact, percent, share},
    young,
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// The fewest threads.
const MANY: u32 = 256;
/// The least share of their stacks in the usage.
const LEAST_SHARE: f64 = 0.3;
/// Kernel memory of a thread: its stack (`THREAD_SIZE`, x86-64 and arm64).
const KERNEL_STACK: u64 = 16 << 10;
/// The least user memory of a thread: a page of stack and its page table.
const SMALLEST: u64 = 8 << 10;
/// Where the stacks in user space were not measured, kernel stacks of this part of the usage show that threads matter.
const MUCH_IN_KERNEL: f64 = 0.1;
/// The allocator name of arenas that are stacks.
const STACK: &str = "stack";

pub fn check(case: &Case<'_>) -> Outcome {
    let victim = case.record.circumstances.processes.iter().find(|process| process.is_victim);
    let threads = victim.and_then(|victim| victim.threads).ok_or("the number of threads is unknown")?;
    if threads < MANY {
        return Ok(None);
    }
    let usage = case.charged().ok_or("the usage is unknown")?;
    let resident: u64 =
        case.arenas().iter().filter(|row| row.allocator == STACK).map(|row| row.resident_bytes.0).sum();
    let user = resident.max(u64::from(threads) * SMALLEST);
    let kernel = case.charge().ok().and_then(|(charge, _)| charge.kernel_stack_bytes);
    let in_kernel = kernel.unwrap_or(Bytes(u64::from(threads) * KERNEL_STACK));
    let all = Bytes(user.saturating_add(in_kernel.0));
    let part = share(all, usage);
    if part < LEAST_SHARE {
        return Ok(unmeasured(case, (threads, in_kernel), usage));
    }
    let estimated = if kernel.is_some() { Grade::Read } else { Grade::Inferred };
    Ok(Some(Cause {
        kind: CauseKind::ThreadStacks,
        confidence: if part >= 0.5 { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "the stacks of {threads} threads take about {all}, {} of the usage",
            percent(part.min(1.0))
        ),
        evidence: vec![
            fact("threads of the victim", threads, Grade::Read),
            fact(
                "resident stacks",
                Bytes(user),
                if resident > 0 { Grade::Measured } else { Grade::Inferred },
            ),
            fact("kernel stacks", in_kernel, estimated),
        ],
        remedies: remedies(),
        doubt: None,
    }))
}

/// The page tables of a victim that is killed within seconds may never have been read. Its kernel stacks are known from
/// the number of its threads; if they are much, and kernel memory grew with the rest, threads were started.
fn unmeasured(case: &Case<'_>, (threads, in_kernel): (u32, Bytes), usage: Bytes) -> Option<Cause> {
    let anon = case.record.victim.memory.anon_bytes?;
    if !case.arenas().is_empty() || share(in_kernel, usage) < MUCH_IN_KERNEL {
        return None;
    }
    let mut kernel = case.timeline().filter_map(|point| point.kernel_bytes);
    let grew =
        Bytes(kernel.next().zip(kernel.max()).map_or(0, |(first, most)| most.0.saturating_sub(first.0)));
    // At least half of the threads were started in that time.
    if grew.0 < in_kernel.0 / 2 {
        return None;
    }
    let of_one = Bytes(anon.0 / u64::from(threads.max(1)));
    Some(Cause {
        kind: CauseKind::ThreadStacks,
        confidence: Confidence::Medium,
        sentence: format!(
            "it started {threads} threads: their kernel stacks take about {in_kernel}, and their own stacks some or \
             most of its {anon} of anonymous memory"
        ),
        evidence: vec![
            fact("threads of the victim", threads, Grade::Read),
            fact("kernel stacks", in_kernel, Grade::Inferred),
            fact("kernel memory grew before the kill by", grew, Grade::Read),
            fact("anonymous memory for each thread, other memory included", of_one, Grade::Inferred),
            fact("stacks in user space", "its page tables were not read before the kill", Grade::Inferred),
        ],
        remedies: remedies(),
        doubt: Some(Doubt {
            kind: if young::is_starting(case) { CauseKind::StartUp } else { CauseKind::Leak },
            settled_by:
                "run `memtrace explain` for it before it is killed again: it tells the stacks from the heap"
                    .to_owned(),
        }),
    })
}

fn remedies() -> Vec<Remedy> {
    vec![Remedy {
        text: "limit the number of threads: use a pool instead of one thread per request".into(),
        setting: None,
    }]
}
