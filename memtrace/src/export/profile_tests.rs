//! Profiles for tests, and what their figures add up to.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Bytes, GrowthStack, Mapped, Process, ProcessRow, Profile, Snapshot, Span, Subject, Timestamp};
use crate::{
    mm::growth::WalkedBy,
    snapshot::{ArenaRow, Memory, Node, UserFrame},
    units::Grade,
};

/// Where the code of each process is in these profiles.
const CODE: u64 = 0x40_0000;

fn frame(symbol: &str) -> UserFrame {
    // A function has one address.
    let offset = symbol.bytes().fold(0x100, |sum, byte| sum * 3 + u64::from(byte)) % 0x8000;
    UserFrame {
        address: format!("{:#x}", CODE + offset),
        module: Some("/app/server".into()),
        file_offset: Some(offset),
        symbol: Some(symbol.into()).filter(|symbol: &String| !symbol.is_empty()),
        inode: None,
    }
}

fn stack(bytes: u64, symbols: &[&str]) -> GrowthStack {
    let frames = symbols.iter().map(|symbol| frame(symbol)).collect();
    GrowthStack { bytes: [Bytes(0), Bytes(bytes / 2), Bytes(bytes)], walked_by: WalkedBy::Tables, frames }
}

type Stacks<'a> = &'a [(u64, &'a [&'a str])];

/// A profile of processes with these stacks, innermost function first.
pub(in crate::export) fn profile(processes: &[(u32, Stacks<'_>)]) -> Profile {
    let process = |(pid, stacks): &(u32, Stacks<'_>)| Process {
        pid: *pid,
        comm: "app".into(),
        owner: Some(("jemalloc".into(), "heap".into())),
        mapped: vec![Mapped {
            start: CODE,
            end: CODE + 0x1_0000,
            offset: 0x1000,
            file: "/app/server".into(),
            build_id: Some(vec![0xab, 0xcd]),
        }],
        stacks: stacks.iter().map(|(bytes, symbols)| (stack(*bytes, symbols), Bytes(*bytes))).collect(),
    };
    Profile {
        name: "shop/cart-0/app".into(),
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        span: Span::Minutes10,
        period: Some(Bytes(64 * 4096)),
        processes: processes.iter().map(process).collect(),
    }
}

fn arena(allocator: &'static str, growth: i64) -> ArenaRow {
    ArenaRow {
        allocator: Cow::Borrowed(allocator),
        kind: Cow::Borrowed("heap"),
        arenas: 1,
        mapped_bytes: Bytes(0),
        resident_bytes: Bytes(0),
        lazy_free_bytes: Bytes(0),
        swapped_bytes: Bytes(0),
        pss_bytes: None,
        grade: Grade::Measured,
        growth_bytes: [None, Some(growth), Some(growth)],
    }
}

fn row(growth: &[(&'static str, i64)], stacks: Vec<GrowthStack>) -> ProcessRow {
    ProcessRow {
        pid: 7,
        comm: "app".into(),
        uid: None,
        started: None,
        cgroup: None,
        rss_bytes: None,
        rss_grade: Grade::Read,
        rss_read: None,
        growth_bytes_per_second: None,
        growth_window_seconds: None,
        limit: None,
        memory: Some(Memory {
            arenas: growth.iter().map(|(allocator, growth)| arena(allocator, *growth)).collect(),
            growth_stacks: stacks,
            ..Memory::default()
        }),
        not_read: None,
        totals_only: None,
        peak: None,
    }
}

fn of(row: &ProcessRow, span: Span) -> Profile {
    let snapshot = Snapshot {
        schema: 1,
        time: Timestamp::UNIX_EPOCH,
        tracer: None,
        processes: vec![row.clone().into()],
        containers: Vec::new(),
        node: Node::default(),
    };
    Profile::of(&snapshot, &Subject::Process(row), "7", span)
}

#[test]
fn an_owner_is_named_only_where_nothing_else_grew() {
    let owner = |growth: &[(&'static str, i64)]| {
        let profile = of(&row(growth, vec![stack(8, &["main"])]), Span::Minutes10);
        let process = &profile.processes[0];
        (process.owner.clone().map(|(allocator, _)| allocator), process.grade())
    };
    assert_eq!(owner(&[("jemalloc", 5), ("stack", 0)]), (Some("jemalloc".into()), Grade::Inferred));
    assert_eq!(owner(&[("jemalloc", 5), ("stack", 1)]), (None, Grade::Sampled));
    assert_eq!(owner(&[("jemalloc", -5)]), (None, Grade::Sampled));
}

#[test]
fn a_span_has_the_stacks_of_its_window() {
    let row = row(&[], vec![stack(8, &["main"]), stack(1, &["rare"])]);
    let total = |span| (of(&row, span).stacks(), of(&row, span).total());
    assert_eq!(total(Span::Minutes10), (2, Bytes(9)));
    assert_eq!(total(Span::Minute1), (1, Bytes(4)));
    assert_eq!(total(Span::Seconds10), (0, Bytes(0)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What `top --by stack` adds up to is what a profile does.
    #[test]
    fn nothing_is_added_or_lost(bytes in prop::collection::vec(any::<u32>(), 0..8)) {
        let row = row(&[], bytes.iter().map(|bytes| stack(u64::from(*bytes), &["f", "main"])).collect());
        let stacks = &row.memory.as_ref().unwrap().growth_stacks;
        for (window, (_, span)) in Span::ALL.into_iter().enumerate() {
            let shown: u64 = stacks.iter().map(|stack| stack.bytes[window].0).sum();
            prop_assert_eq!(of(&row, span).total(), Bytes(shown));
        }
    }
}
