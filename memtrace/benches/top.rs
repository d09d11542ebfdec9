//! What an update costs `memtrace top`: 250 containers and 2,000 processes, then 2,000 containers.
//!
//! `cargo bench -p memtrace --bench top`. Prints and does not judge. Times are processor time of this thread, so that
//! other work on the machine does not count; writing what has changed to the terminal is not in them.

use std::{hint::black_box, sync::Arc};

use jiff::Timestamp;
use memtrace::{
    api::v1::Update,
    cgroup::memcg::Limit,
    clock::thread_cpu,
    snapshot::{ArenaRow, ContainerRow, Memory, Node, ProcessRow, SCHEMA, Snapshot},
    top::{
        app::{App, News},
        theme::Theme,
        view::{Areas, draw},
    },
    units::{Bytes, Grade},
    verdict::{Insight, Insights},
};
use ratatui::{buffer::Buffer, layout::Rect};

const SCREEN: Rect = Rect { x: 0, y: 0, width: 200, height: 60 };
const ROUNDS: usize = 21;
const TREND: usize = 120;
/// Owners of a process's memory, as a usual program has them.
const OWNERS: [(&str, &str); 6] = [
    ("glibc", "main heap"),
    ("glibc", "thread arena"),
    ("module", "libc.so.6"),
    ("stack", "thread"),
    ("file", "mapped"),
    ("unattributed", "anonymous"),
];

fn arenas(number: u64, round: u64) -> Vec<ArenaRow> {
    let row = |(at, (allocator, kind)): (usize, &(&'static str, &'static str))| {
        let bytes = Bytes(((number * 7 + at as u64 * 13 + round) % 900 + 1) << 16);
        ArenaRow {
            allocator: (*allocator).into(),
            kind: (*kind).into(),
            arenas: 1,
            mapped_bytes: bytes,
            resident_bytes: bytes,
            lazy_free_bytes: Bytes(0),
            swapped_bytes: Bytes(0),
            pss_bytes: Some(bytes),
            grade: Grade::Measured,
            growth_bytes: [Some(4096), Some(8192), None],
        }
    };
    OWNERS.iter().enumerate().map(row).collect()
}

fn cgroup(number: u64) -> String {
    format!(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{number:032x}.slice/cri-containerd-{number:064x}.scope"
    )
}

fn update(containers: u64, processes: u64, round: u64) -> Update {
    let bytes = |number: u64| Bytes(((number * 31 + round * 17) % 4000 + 1) << 16);
    let limit = |number: u64| Limit { bytes: Bytes(1 << 30), owner: cgroup(number) };
    let process = |number: u64| {
        let of = number % containers;
        let memory = Memory {
            arenas: arenas(number, round),
            unaccounted_bytes: Bytes(0),
            excess_bytes: Bytes(0),
            stale: None,
            unfinished: None,
            scanned: Some(Timestamp::UNIX_EPOCH),
            samples: Some(64),
            growth_stacks: Vec::new(),
            counters: Vec::new(),
            without_counters: Vec::new(),
            counters_read: None,
        };
        ProcessRow {
            pid: u32::try_from(number).unwrap_or(u32::MAX) + 1000,
            comm: format!("worker-{number}"),
            uid: Some(1000),
            started: Some(Timestamp::UNIX_EPOCH),
            cgroup: Some(cgroup(of)),
            rss_bytes: Some(bytes(number)),
            rss_grade: Grade::Measured,
            rss_read: Some(Timestamp::UNIX_EPOCH),
            growth_bytes_per_second: Some(1024.0),
            growth_window_seconds: Some(10.0),
            limit: Some(limit(of)),
            memory: Some(memory),
            not_read: None,
            totals_only: None,
            peak: None,
        }
    };
    let container = |number: u64| ContainerRow {
        processes: usize::try_from(processes / containers).unwrap_or(0),
        usage_bytes: Some(bytes(number)),
        limit: Some(limit(number)),
        rss_bytes: bytes(number),
        arenas: arenas(number, round).into(),
        ..ContainerRow::empty(cgroup(number))
    };
    let insight = |number: u64| Insight {
        trend_bytes: (0..TREND as u64).map(|at| Some(bytes(number + at))).collect(),
        growth_bytes_per_second: Some(1024.0),
        seconds_to_limit: Some(3600.0),
        ..Insight::default()
    };
    let mut snapshot = Snapshot {
        schema: SCHEMA,
        time: Timestamp::UNIX_EPOCH,
        tracer: None,
        processes: (0..processes).map(process).map(Arc::new).collect(),
        containers: (0..containers).map(container).collect(),
        node: Node::default(),
    };
    snapshot.sort();
    let insights: Insights = (0..containers).map(|number| (cgroup(number), insight(number))).collect();
    Update { snapshot: Arc::new(snapshot), insights: Arc::new(insights) }
}

/// Middle and most, in ms.
fn told(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let of = |at: usize| times.get(at).copied().unwrap_or_default();
    format!("{:6.2} ms in the middle, {:6.2} ms at most", of(times.len() / 2), of(times.len() - 1))
}

fn measure(containers: u64, processes: u64) {
    let mut app = App::of("node");
    let (mut read, mut shown) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        let Ok(line) = serde_json::to_vec(&update(containers, processes, round)) else { return };
        let start = thread_cpu();
        let Ok(update) = serde_json::from_slice::<Update>(&line) else { return };
        let taken = thread_cpu();
        app.take(News::Update(update));
        app.set_screen_rows(Areas::of(&app, SCREEN).rows());
        let mut buffer = Buffer::empty(SCREEN);
        draw(&app, Theme::FULL, &mut buffer);
        black_box(buffer);
        let end = thread_cpu();
        read.push((taken - start).as_secs_f64() * 1e3);
        shown.push((end - taken).as_secs_f64() * 1e3);
    }
    println!("{containers} containers, {processes} processes");
    println!("  read an update    {}", told(read));
    println!("  a refresh         {}", told(shown));
}

fn main() {
    measure(250, 2000);
    measure(2000, 2000);
}
