//! Kills as a list, one line each.
//!
//! `&[KillSummary]` -> a table, newest first as given.

use super::{
    describe::{UNKNOWN, figure, name},
    layout::{Align, BETWEEN, columns, cut, printable, shorten_path, width},
    style::{Paint, Style},
};
use crate::{oom::record::ScopeKind, store::KillSummary};

const TITLES: [&str; 5] = ["TIME (UTC)", "ID", "VICTIM (PID)", "LIMIT OF", "CGROUP"];
/// So much of an id is enough: `show` takes its beginning.
const ID: usize = 40;
/// A pid of 7 digits, and most names.
const VICTIM: usize = 23;
/// What the path has left when the others are as wide as they get.
const PATH: usize = 12;

/// Writes the table, or says that there is nothing to list.
pub fn table(kills: &[KillSummary], style: Style) -> String {
    if kills.is_empty() {
        return "no OOM kills recorded\n".to_owned();
    }
    let cells: Vec<[String; 4]> = kills.iter().map(fixed_cells).collect();
    let used: usize = (0..4)
        .map(|column| {
            let title = TITLES.get(column).map_or(0, |title| width(title));
            let widths = cells.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            BETWEEN.len() + widths.fold(title, usize::max)
        })
        .sum();
    let room = style.columns().saturating_sub(used).max(PATH);
    let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
    for (kill, [time, id, victim, owner]) in kills.iter().zip(cells) {
        let cgroup = shorten_path(&printable(kill.cgroup.as_deref().unwrap_or(UNKNOWN)), room);
        rows.push(vec![time, id, victim, owner, cgroup]);
    }
    let mut out = String::new();
    let paints = std::iter::once(Paint::Heading).chain(std::iter::repeat(Paint::Plain));
    for (line, paint) in columns(&[Align::Left; 5], &rows).iter().zip(paints) {
        out.push_str(&style.paint(paint, line));
        out.push('\n');
    }
    out
}

fn fixed_cells(kill: &KillSummary) -> [String; 4] {
    let pid = format!(" ({})", figure(kill.victim_pid));
    let comm = cut(&printable(name(&kill.victim_comm)), VICTIM - pid.len());
    [
        kill.time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        printable(&kill.id).chars().take(ID).collect(),
        format!("{comm}{pid}"),
        owner(kill),
    ]
}

/// Whose limit it was, seen from the victim's cgroup; the record has its path.
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
