//! Kernel memory: most of the charge is kernel memory of this group: sockets, pipes, slab, page tables.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent, share},
};
use crate::{
    cgroup::charge::Charge,
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// The least share in the usage.
const LEAST_SHARE: f64 = 0.4;
/// A share from which the confidence is high.
const MOST: f64 = 0.6;

/// Functions on the kernel stack, with the kind of memory that they allocate.
const HINTS: [(&str, &str); 7] = [
    ("pipe_write", "pipes"),
    ("sock_", "sockets"),
    ("skb_", "sockets"),
    ("tcp_", "sockets"),
    ("unix_stream", "sockets"),
    ("alloc_inode", "inodes"),
    ("d_alloc", "directory entries"),
];

pub fn check(case: &Case<'_>) -> Outcome {
    let (charge, grade) = case.charge()?;
    let usage = case.charged().ok_or("the usage is unknown")?;
    let kernel = charge.kernel().ok_or("kernel memory is unknown")?;
    let part = share(kernel, usage);
    if part < LEAST_SHARE {
        return Ok(None);
    }
    let mut evidence =
        vec![fact("kernel memory", kernel, grade), fact("share of the usage", percent(part), grade)];
    let largest = kinds(charge).into_iter().max_by_key(|(_, bytes)| *bytes);
    if let Some((kind, bytes)) = largest {
        evidence.push(fact(format!("most of it: {kind}"), bytes, grade));
    }
    evidence.extend(case.charge_age_fact());
    let mut symbols = case.stack_symbols();
    let hint = symbols.find_map(|symbol| HINTS.iter().find(|(of, _)| symbol.contains(of)));
    if let Some((_, what)) = hint {
        evidence.push(fact("last page requested for (kernel stack)", *what, Grade::Read));
    }
    let what = hint.map(|(_, what)| (*what).to_owned());
    let what = what.or_else(|| largest.map(|(kind, _)| kind.to_owned()));
    let what = what.map_or_else(String::new, |what| format!(", by {what}"));
    Ok(Some(Cause {
        kind: CauseKind::KernelMemory,
        confidence: case.from_charge(if part >= MOST { Confidence::High } else { Confidence::Medium }),
        sentence: format!("the kernel uses {kernel} for it{what}: {} of the usage", percent(part)),
        evidence,
        remedies: vec![Remedy {
            text: "look for files, sockets or pipes that stay open or unread".into(),
            setting: None,
        }],
        doubt: None,
    }))
}

fn kinds(charge: &Charge) -> Vec<(&'static str, Bytes)> {
    let kinds = [
        ("socket buffers", charge.sock_bytes),
        ("kernel stacks", charge.kernel_stack_bytes),
        ("page tables", charge.page_tables_bytes),
        ("slab, reclaimable", charge.slab_reclaimable_bytes),
        ("slab, unreclaimable", charge.slab_unreclaimable_bytes),
        ("per-CPU memory", charge.percpu_bytes),
        ("vmalloc", charge.vmalloc_bytes),
    ];
    kinds.into_iter().filter_map(|(kind, bytes)| Some((kind, bytes?))).collect()
}
