//! Kills as a list, one line each.
//!
//! `&[KillSummary]` -> a table, newest first as given.

use super::{
    describe::{UNKNOWN, figure, name},
    style::{Paint, Style},
};
use crate::{
    text::{Align, BETWEEN, GAP, columns, keep_start, printable, shorten_path, width},
    {oom::record::ScopeKind, store::KillSummary},
};

const TITLES: [&str; 6] = ["TIME (UTC)", "ID", "VICTIM (PID)", "CAUSE", "LIMIT OF", "CONTAINER"];
/// Width of an id; `show` accepts a prefix.
const ID: usize = 40;
/// Width of the victim: a pid of 7 digits, and the start of most names.
const VICTIM: usize = 20;
/// The least width of the path, when the other columns have their maximum width.
const PATH: usize = 10;
/// Width of a cause that this version does not know.
const CAUSE: usize = 9;

/// Writes the table, or a line that there are no kills.
pub fn table(kills: &[KillSummary], style: Style) -> String {
    if kills.is_empty() {
        return "no OOM kills recorded\n".to_owned();
    }
    let cells: Vec<[String; 5]> = kills.iter().map(fixed_cells).collect();
    let used: usize = (0..5)
        .map(|column| {
            let title = TITLES.get(column).map_or(0, |title| width(title));
            let widths = cells.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            BETWEEN.len() + widths.fold(title, usize::max)
        })
        .sum();
    let room = style.columns().saturating_sub(used).max(PATH);
    let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
    for (kill, fixed) in kills.iter().zip(cells) {
        let place = label(kill).or_else(|| kill.cgroup.clone()).unwrap_or_else(|| UNKNOWN.to_owned());
        let place = shorten_path(&printable(&place), room);
        rows.push(fixed.into_iter().chain([place]).collect());
    }
    let mut out = String::new();
    let paints = std::iter::once(Paint::Heading).chain(std::iter::repeat(Paint::Plain));
    for (line, paint) in columns(&[Align::Left; 6], &rows).iter().zip(paints) {
        out.push_str(&style.paint(paint, line));
        out.push('\n');
    }
    out
}

fn fixed_cells(kill: &KillSummary) -> [String; 5] {
    let pid = format!(" ({})", figure(kill.victim_pid));
    let comm = keep_start(&printable(name(&kill.victim_comm)), VICTIM - pid.len(), GAP);
    [
        kill.time.strftime("%m-%d %H:%M:%S").to_string(),
        printable(&kill.id).chars().take(ID).collect(),
        format!("{comm}{pid}"),
        cause(kill.cause.as_deref()),
        owner(kill),
    ]
}

/// `namespace/pod/container`, as far as known.
fn label(kill: &KillSummary) -> Option<String> {
    let parts: Vec<&str> =
        [&kill.namespace, &kill.pod, &kill.container].into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The kind in a word.
fn cause(kind: Option<&str>) -> String {
    let word = match kind {
        None | Some("unknown") => UNKNOWN,
        Some("limit_too_tight") => "too tight",
        Some("start_up") => "start-up",
        Some("allocator_retention") => "retention",
        Some("file_or_tmpfs") => "files",
        Some("kernel_memory") => "kernel",
        Some("thread_stacks") => "stacks",
        Some("fork_copy_on_write") => "fork",
        Some("node_exhaustion") => "node",
        Some("cpuset_or_policy") => "cpuset",
        Some("limit_lowered") => "lowered",
        Some(kind) => kind,
    };
    keep_start(&printable(word), CAUSE, GAP)
}

/// The owner of the limit relative to the victim's cgroup; the record has its path.
fn owner(kill: &KillSummary) -> String {
    let (cgroup, owner) = match (kill.scope, &kill.cgroup, &kill.limit_owner) {
        (ScopeKind::Global, ..) => return "the node".to_owned(),
        (ScopeKind::Unknown, ..) | (ScopeKind::Memcg, _, None) => return UNKNOWN.to_owned(),
        (ScopeKind::Memcg, None, Some(_)) => return "a cgroup".to_owned(),
        (ScopeKind::Memcg, Some(cgroup), Some(owner)) => (cgroup, owner),
    };
    let below = cgroup.strip_prefix(owner.trim_end_matches('/'));
    match below.filter(|below| below.is_empty() || below.starts_with('/')) {
        None => "other".to_owned(),
        Some(below) => match below.split('/').filter(|name| !name.is_empty()).count() {
            0 => "own".to_owned(),
            1 => "parent".to_owned(),
            levels => format!("{levels} above"),
        },
    }
}
