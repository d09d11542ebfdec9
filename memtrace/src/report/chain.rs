//! The cgroups from the victim's up to the root, with the one whose limit was hit marked.
//!
//! The chain and its owner -> a block of the page.

use super::{
    describe::{UNKNOWN, cgroup, figure, is_owner},
    layout::{Align, BETWEEN, columns, printable, shorten_path, width},
    page::Page,
    style::Paint,
};
use crate::oom::record::{MemcgLevel, OomRecord};

const TITLES: [&str; 5] = ["USAGE", "LIMIT", "PEAK", "HIT", "OOM"];
const MARK: &str = "> ";
const NO_MARK: &str = "  ";
/// What a path has left when the figures are as wide as they get.
const PATH: usize = 12;

pub(super) fn chain(page: &mut Page, record: &OomRecord) {
    page.heading("Memory cgroups, from the victim's up to the root");
    if record.chain.is_empty() {
        page.field("cgroups", UNKNOWN);
        return;
    }
    let figures: Vec<[String; 5]> = record.chain.iter().map(figures).collect();
    let rest: usize = (0..TITLES.len())
        .map(|column| {
            let cells = figures.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            let title = TITLES.get(column).map_or(0, |title| width(title));
            BETWEEN.len() + cells.fold(title, usize::max)
        })
        .sum();
    let path_columns = page.columns().saturating_sub(MARK.len() + rest).max(PATH);
    let owner = record.limit_owner.as_ref();
    let marked: Vec<bool> =
        record.chain.iter().map(|level| owner.is_some_and(|owner| is_owner(level, owner))).collect();

    let mut rows = vec![row(format!("{NO_MARK}CGROUP"), TITLES.map(str::to_owned))];
    for ((level, figures), marked) in record.chain.iter().zip(figures).zip(&marked) {
        let path = shorten_path(&printable(&cgroup(level.path.as_deref(), level.cgroup_id)), path_columns);
        rows.push(row(format!("{}{path}", if *marked { MARK } else { NO_MARK }), figures));
    }
    let aligns = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right];
    let paints = std::iter::once(Paint::Heading)
        .chain(marked.iter().map(|marked| if *marked { Paint::Culprit } else { Paint::Plain }));
    for (line, paint) in columns(aligns, &rows).iter().zip(paints) {
        page.line(line, paint);
    }
    legend(page, record, marked.contains(&true));
}

fn legend(page: &mut Page, record: &OomRecord, has_mark: bool) {
    let mark = if has_mark { "> the limit that was hit; " } else { "" };
    page.line(
        &format!("{mark}HIT: times its limit was hit; OOM: times the group ran out of memory"),
        Paint::Plain,
    );
    for level in record.chain.iter().filter(|level| level.oom_group) {
        let path = printable(&cgroup(level.path.as_deref(), level.cgroup_id));
        let note = "memory.oom.group is set: its processes are killed together in";
        let path = shorten_path(&path, page.columns().saturating_sub(note.len() + 1));
        page.line(&format!("{note} {path}"), Paint::Plain);
    }
}

fn row(path: String, [usage, limit, peak, hit, oom]: [String; 5]) -> [String; 6] {
    [path, usage, limit, peak, hit, oom]
}

fn figures(level: &MemcgLevel) -> [String; 5] {
    let limit = match level.limit_bytes {
        None if level.unlimited => "none".to_owned(),
        limit => figure(limit),
    };
    [
        figure(level.usage_bytes),
        limit,
        figure(level.peak_bytes),
        figure(level.limit_hits),
        figure(level.oom_events),
    ]
}
