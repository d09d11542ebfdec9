//! What is kept of a page, and that it always fits.

use jiff::Timestamp;

use super::{Damaged, MOST_BYTES, SCHEMA, Saved, name};
use crate::{
    cgroup::charge::Charge,
    explain::{Explanation, Grown, Growth, Holding, Part},
    mm::growth::WalkedBy,
    sizing::{
        made_of::MOST_STACKS,
        run::{
            Look, Reading, Run,
            fixture::{page, run},
        },
    },
    snapshot::{GrowthStack, UserFrame},
    units::{Bytes, Grade},
};

const MIB: u64 = 1 << 20;

fn frame(module: &str, symbol: Option<&str>) -> UserFrame {
    UserFrame {
        address: "7f0000001234".to_owned(),
        module: Some(module.to_owned()),
        file_offset: Some(0x1234),
        symbol: symbol.map(str::to_owned),
        inode: None,
    }
}

fn grown(pid: u32, bytes: u64, frames: Vec<UserFrame>) -> Grown {
    let bytes = [Bytes(0), Bytes(bytes), Bytes(0)];
    Grown {
        pid,
        comm: "make".to_owned(),
        stack: GrowthStack { bytes, walked_by: WalkedBy::default(), frames },
    }
}

fn explanation(stacks: Vec<Grown>) -> Explanation {
    let mut heap = Part::new("anonymous", "", Bytes(90 * MIB), Grade::Read);
    heap.parts = vec![
        Part::new("glibc main heap", "", Bytes(60 * MIB), Grade::Measured),
        Part::new("thread stacks", "", Bytes(30 * MIB), Grade::Measured),
    ];
    Explanation {
        schema: 1,
        time: Timestamp::UNIX_EPOCH,
        name: "run".to_owned(),
        kind: "container".to_owned(),
        cgroups: Vec::new(),
        processes: Vec::new(),
        total_bytes: Some(Bytes(100 * MIB)),
        limit: None,
        parts: vec![heap, Part::new("kernel", "", Bytes(9 * MIB), Grade::Read)],
        remainder_bytes: Some(MIB as i64),
        allocators: vec![holding("glibc", 60)],
        reclaimable: Vec::new(),
        firm: Vec::new(),
        charge_age_seconds: None,
        scan_age_seconds: None,
        growth: Some(Growth {
            bytes_per_second: 1.0,
            seconds_to_limit: None,
            ended: None,
            since_start: None,
            stacks,
        }),
        objects: Vec::new(),
        findings: Vec::new(),
        notes: Vec::new(),
    }
}

fn holding(allocator: &str, mib: u64) -> Holding {
    Holding {
        allocator: allocator.to_owned(),
        version: None,
        processes: 1,
        resident_bytes: Bytes(mib * MIB),
        allocated_bytes: Some(Bytes(mib * MIB / 2)),
        error_bytes: None,
        free_resident_bytes: None,
        lazily_freed_bytes: None,
        retained_bytes: None,
        metadata_bytes: None,
        untold_bytes: None,
        huge_fill_bytes: None,
        counters_read: None,
        arenas: 1,
        by_arena: Vec::new(),
        settings: Vec::new(),
        grade: Grade::Read,
        missing: Vec::new(),
        absent: None,
    }
}

fn saved(stacks: Vec<Grown>) -> Saved {
    let look = Some(Look { at: 2.5, explanation: explanation(stacks) });
    let run = Run { look, ..run(110 * MIB) };
    Saved::of(&page(run), "main", Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn it_comes_back_and_its_parts_add_up() {
    let frames =
        || vec![frame("/usr/lib/libc.so.6", None), frame("/app", Some("fill")), frame("/app", Some("main"))];
    let other = vec![frame("/app", Some("start"))];
    let saved = saved(vec![grown(1, 5, frames()), grown(2, 9, other), grown(3, 7, frames())]);
    assert_eq!(Saved::read(&saved.bytes().unwrap()).unwrap(), saved);
    let made_of = saved.made_of.as_ref().unwrap();
    let sum: u64 = made_of.parts.iter().map(|part| part.bytes.0).sum();
    assert_eq!(made_of.total_bytes, Some(Bytes(sum + MIB)), "with the remainder, to the byte");
    let names: Vec<&str> = made_of.parts.iter().map(|part| part.what.as_str()).collect();
    assert_eq!(names, ["glibc main heap", "thread stacks", "kernel"]);
    let held = &made_of.allocators[0];
    assert_eq!((held.used_bytes, held.free_bytes), (Some(Bytes(30 * MIB)), None), "unknown is not 0");
    // Two processes, one stack.
    assert_eq!(made_of.stacks.len(), 2);
    assert_eq!(
        (made_of.stacks[0].bytes, made_of.stacks[0].frames.join(" ")),
        (Bytes(12), "[libc.so.6] fill main".to_owned())
    );
    assert!(!String::from_utf8(saved.bytes().unwrap()).unwrap().contains("7f0000001234"), "no address");
}

#[test]
fn the_smallest_stacks_go_when_there_is_no_room() {
    let many = |count: u64, length: usize| {
        let stack = |number: u64| {
            let deep =
                (0..30).map(|at| frame("/app", Some(&format!("f{at}_{number}_{}", "x".repeat(length)))));
            grown(1, number + 1, deep.collect())
        };
        saved((0..count).map(stack).collect())
    };
    let small = many(70, 1).made_of.unwrap();
    assert_eq!((small.stacks.len(), small.stacks_left_out), (MOST_STACKS, 6));
    let large = many(70, 500);
    let made_of = large.made_of.as_ref().unwrap();
    assert!(large.bytes().unwrap().len() <= MOST_BYTES);
    assert!((8..MOST_STACKS).contains(&made_of.stacks.len()), "{}", made_of.stacks.len());
    assert_eq!(made_of.stacks.len() + made_of.stacks_left_out, 70);
    assert_eq!(made_of.stacks[0].bytes, Bytes(70), "the largest stay");
}

#[test]
fn figures_of_several_runs_are_kept_and_a_peak_between_readings_counts() {
    let charge = Charge {
        usage_bytes: Some(Bytes(90 * MIB)),
        active_file_bytes: Some(Bytes(10 * MIB)),
        inactive_file_bytes: Some(Bytes(5 * MIB)),
        ..Charge::default()
    };
    let one = Run { at_peak: Some(Reading { at: 1.0, charge }), ..run(100 * MIB) };
    let mut page = page(one.clone());
    let saved = Saved::of(&page, "main", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(
        (saved.firm_crest(), saved.peaks_bytes.len()),
        (Some(Bytes(85 * MIB)), 0),
        "one run is no series"
    );
    page.runs = vec![one; 70];
    let saved = Saved::of(&page, "main", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((saved.peaks_bytes.len(), saved.firm_peaks_bytes[63]), (64, Bytes(85 * MIB)));
    assert!(saved.plateaus_bytes.is_empty(), "one that not all runs have is none's");
    page.runs[3].at_peak = None;
    assert!(Saved::of(&page, "main", Timestamp::UNIX_EPOCH).unwrap().firm_peaks_bytes.is_empty());
}

#[test]
fn a_long_command_is_cut() {
    let mut page = page(run(MIB));
    page.command = vec!["\u{4e16}".repeat(5000); 500];
    let saved = Saved::of(&page, "main", Timestamp::UNIX_EPOCH).unwrap();
    assert!(saved.bytes().unwrap().len() < MOST_BYTES / 2);
    page.runs.clear();
    assert_eq!(Saved::of(&page, "main", Timestamp::UNIX_EPOCH), None);
}

#[test]
fn only_saved_runs_are_read() {
    let bytes = saved(Vec::new()).bytes().unwrap();
    let newer = String::from_utf8(bytes.clone()).unwrap().replacen("\"schema\":1", "\"schema\":2", 1);
    assert!(matches!(Saved::read(newer.as_bytes()), Err(Damaged::Newer(version)) if version == SCHEMA + 1));
    for wrong in [&bytes[..bytes.len() / 2], b"[]", b"{\"schema\":1}", b""] {
        assert!(matches!(Saved::read(wrong), Err(Damaged::Form(_))));
    }
}

#[test]
fn a_name_is_a_file_name() {
    for good in ["main", "v1.2.3", "a_b-c"] {
        assert_eq!(name(good).unwrap(), good);
    }
    for wrong in ["", ".", "..", "../a", "a/b", "-o", "a b", "\u{e9}", &"a".repeat(65)] {
        assert!(name(wrong).is_err(), "{wrong:?}");
    }
}
