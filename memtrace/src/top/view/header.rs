//! The lines above the rows: the node, the tracer's status, the views, and the current place.

use ratatui::layout::Rect;

use super::paint::Painter;
use crate::{
    snapshot::Tracer,
    text,
    top::{
        app::{App, Link},
        format,
        page::Tab,
        rows::{ProcessId, Scope, State, label},
        theme::{Role, Theme},
    },
    units::Bytes,
};

/// Shares of the node's memory above which it is a warning, and an alarm.
const NODE: [f64; 2] = [0.85, 0.95];

/// Host, time, and whether the view is live.
pub(super) fn title(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let mut x = painter.put(area, area.x, "memtrace", Role::Brand);
    if !app.host().is_empty() {
        x = painter.put(area, x + 1, app.host(), Role::Strong);
    }
    if let Some(data) = app.data() {
        painter.put(area, x + 2, &format!("{} UTC", format::time(data.snapshot.time)), Role::Plain);
    }
    let (glyph, words, role) = badge(app, painter.theme);
    let badge = format!(" {glyph} {words} ");
    painter.right(area, &badge, role);
}

fn badge(app: &App, theme: Theme) -> (&'static str, String, Role) {
    let dot = theme.either("●", "*");
    if let Some(behind) = app.held_for() {
        return (theme.either("⏸", "="), format!("PAUSED {}", format::duration(behind)), Role::Warning);
    }
    match app.link() {
        Link::Connecting => (theme.either("…", "."), "connecting".to_owned(), Role::Faint),
        Link::Daemon => (dot, "live".to_owned(), Role::Good),
        Link::Own => (dot, "live, own probes".to_owned(), Role::Good),
        Link::Proc(_) => (theme.glyph(State::Warning), "/proc only".to_owned(), Role::Warning),
        Link::Lost(_) => (theme.glyph(State::Alarm), "RECONNECTING".to_owned(), Role::Alarm),
        Link::Past => (theme.either("◀", "<"), "HISTORY".to_owned(), Role::Warning),
    }
}

/// The node's memory.
pub(super) fn node(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let mut x = painter.put(area, area.x, "Memory  ", Role::Title);
    let Some(node) = app.data().map(|data| &data.snapshot.node) else { return };
    let (Some(Bytes(total)), Some(Bytes(available))) = (node.total_bytes, node.available_bytes) else {
        painter.put(area, x, "unknown", Role::Faint);
        return;
    };
    let used = total.saturating_sub(available);
    let share = used as f64 / total.max(1) as f64;
    let state = match share {
        share if share >= NODE[1] => State::Alarm,
        share if share >= NODE[0] => State::Warning,
        _ => State::Calm,
    };
    let columns = (area.width / 5).clamp(6, 40);
    x = painter.bar(area, x, columns, share, Theme::role(state));
    let size = |bytes: Option<Bytes>| bytes.map_or_else(|| "?".to_owned(), format::bytes);
    let glyph = painter.theme.glyph(state).trim().to_owned();
    x = painter.put(area, x + 1, &format!("{glyph}{:>4}", format::percent(share)), Theme::role(state));
    x = painter.pieces(
        area,
        x + 1,
        &[
            (&format::bytes(Bytes(used)), Role::Strong),
            (" of ", Role::Faint),
            (&size(node.total_bytes), Role::Plain),
        ],
    );
    if let Some(Bytes(swap)) = node.swap_total_bytes.filter(|Bytes(swap)| *swap > 0) {
        let used = Bytes(swap.saturating_sub(node.swap_free_bytes.unwrap_or_default().0));
        x = painter.pieces(
            area,
            x + 2,
            &[
                ("swap ", Role::Faint),
                (&format::bytes(used), Role::Plain),
                (" of ", Role::Faint),
                (&format::bytes(Bytes(swap)), Role::Plain),
            ],
        );
    }
    for (name, pressure) in [("PSI some ", node.pressure_some10), ("full ", node.pressure_full10)] {
        if let Some(pressure) = pressure {
            let role = if pressure >= 0.1 { Role::Warning } else { Role::Plain };
            x = painter.put(area, x + 2, name, Role::Faint);
            x = painter.put(area, x, &format::percent(pressure), role);
        }
    }
}

/// The tracer's status.
pub(super) fn tracer(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let x = painter.put(area, area.x, "Tracer  ", Role::Title);
    let Some(data) = app.data() else { return };
    if app.is_in_the_past() {
        let words = "usage, limits and kinds at that time; Left and Right move by 10 seconds";
        painter.put(area, x, words, Role::Faint);
        return;
    }
    let Some(tracer) = &data.snapshot.tracer else {
        painter.put(area, x, "no probes: figures come from /proc and cgroups only", Role::Warning);
        return;
    };
    let Tracer { hooks_attached, hooks_total, kills, losses, scans, .. } = tracer;
    let rate = data.events_per_second.map_or("-".to_owned(), |rate| format::count(rate.round() as u64));
    let sampling = tracer.sampling().unwrap_or_else(|| "none".to_owned());
    let hooks = if hooks_attached < hooks_total { Role::Warning } else { Role::Plain };
    let spent = data.scan_share.map_or("-".to_owned(), format::percent);
    let lost: u64 = losses.iter().map(|loss| loss.count).fold(0, u64::saturating_add);
    let (lost, lost_role) = match lost {
        0 => ("none".to_owned(), Role::Good),
        lost => (format::count(lost), Role::Alarm),
    };
    painter.pieces(
        area,
        x,
        &[
            (&rate, Role::Strong),
            (" events/s", Role::Faint),
            ("  lost ", Role::Faint),
            (&lost, lost_role),
            ("  kills ", Role::Faint),
            (&kills.to_string(), if *kills > 0 { Role::Alarm } else { Role::Plain }),
            ("  hooks ", Role::Faint),
            (&format!("{hooks_attached}/{hooks_total}"), hooks),
            ("  faults ", Role::Faint),
            (&sampling, Role::Plain),
            ("  scans ", Role::Faint),
            (&spent, Role::Plain),
            (&format!(" of {}% CPU", scans.share_percent), Role::Faint),
        ],
    );
}

/// Urgent messages: a lost daemon, losses, kills that are not on disk.
pub(super) fn banner(app: &App) -> Option<String> {
    match app.link() {
        Link::Lost(why) => return Some(format!("the daemon is gone, reconnecting: {why}")),
        Link::Proc(why) => return Some(format!("no daemon: {why}")),
        Link::Connecting | Link::Daemon | Link::Own | Link::Past => {}
    }
    let tracer = app.data()?.snapshot.tracer.as_ref()?;
    if tracer.kills_not_stored > 0 {
        return Some(format!("NOT STORED: {} OOM kills are not on disk yet", tracer.kills_not_stored));
    }
    if let Some(why) = &tracer.store.problem {
        return Some(format!("STORE: {why}"));
    }
    let losses: Vec<_> =
        tracer.losses.iter().map(|loss| format!("{} {}", format::count(loss.count), loss.meaning)).collect();
    if !losses.is_empty() {
        return Some(format!("LOST: {}", losses.join(" · ")));
    }
    let totals_only = tracer.memory.totals_only;
    (totals_only > 0).then(|| format!("TOTALS ONLY: {totals_only} processes do not fit the memory budget"))
}

pub(super) fn banner_line(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let Some(banner) = banner(app) else { return };
    let state = if matches!(app.link(), Link::Proc(_)) { State::Warning } else { State::Alarm };
    let glyph = painter.theme.glyph(state);
    let line = format!("{glyph} {banner}");
    let line = text::keep_start(&line, usize::from(area.width), painter.theme.gap());
    painter.put(area, area.x, &line, Theme::role(state));
}

/// The views.
pub(super) fn tabs(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let mut x = area.x;
    for (index, tab) in Tab::ALL.into_iter().enumerate() {
        let is_chosen = index == app.tab();
        let count = count(app, tab).map(|count| format!(" {count}")).unwrap_or_default();
        // On a narrow screen the other views show only their number.
        let words = match area.width {
            0..40 if !is_chosen => format!(" {} ", index + 1),
            40..72 if !is_chosen => format!(" {} {} ", index + 1, tab.title()),
            _ => format!(" {} {}{count} ", index + 1, tab.title()),
        };
        x = painter.put(area, x, &words, if is_chosen { Role::Chosen } else { Role::Title });
    }
    let (shown, all) = (app.table().rows.len(), app.unfiltered());
    let what = app.place().map_or("rows", |place| place.by.title());
    let rows = if shown == all { format!("{all} {what}") } else { format!("{shown} of {all} {what}") };
    if x + 2 + (rows.len() as u16) < area.right() {
        painter.right(area, &rows, Role::Faint);
    }
}

fn count(app: &App, tab: Tab) -> Option<String> {
    let data = app.data()?;
    match tab {
        Tab::Containers => Some(data.snapshot.containers.len().to_string()),
        Tab::Processes => Some(data.snapshot.processes.len().to_string()),
        Tab::Arenas => None,
        Tab::Kills => Some(data.kills.as_ref()?.kills.len().to_string()),
        Tab::Probes => {
            let tracer = data.snapshot.tracer.as_ref()?;
            Some(format!("{}/{}", tracer.hooks_attached, tracer.hooks_total))
        }
    }
}

/// The current place, and the filter.
pub(super) fn crumbs(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let mut x = area.x;
    if app.places().len() > 1 {
        let arrow = painter.theme.either(" › ", " > ");
        let names: Vec<String> =
            app.places().iter().map(|place| crumb(app, &place.scope, place.by)).collect();
        let gap = painter.theme.gap();
        let room = usize::from(area.width / 2).max(20);
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                x = painter.put(area, x, arrow, Role::Faint);
            }
            let role = if index + 1 == names.len() { Role::Strong } else { Role::Plain };
            x = painter.put(area, x, &text::keep_end(name, room / names.len().max(2) * 2, gap), role);
        }
        x += 2;
    }
    let Some(place) = app.place() else { return };
    if let Some(typed) = app.typing() {
        x = painter.put(area, x, "filter: ", Role::Title);
        x = painter.put(area, x, typed, Role::Strong);
        painter.put(area, x, " ", Role::Selected);
    } else if !place.filter_text.is_empty() {
        x = painter.put(area, x, "filter: ", Role::Title);
        painter.put(area, x, &place.filter_text, Role::Warning);
    }
}

fn crumb(app: &App, scope: &Scope, by: crate::top::rows::By) -> String {
    let containers = app.data().map_or(&[][..], |data| &data.snapshot.containers);
    match scope {
        Scope::Node if by == crate::top::rows::By::Container => "node".to_owned(),
        Scope::Node => format!("node: {}", by.title()),
        Scope::Pod(key) => key.clone(),
        Scope::Container(cgroup) => {
            containers.iter().find(|row| row.cgroup == *cgroup).map_or_else(|| cgroup.clone(), label)
        }
        Scope::Process(_) if by == crate::top::rows::By::Stack => "growth stacks".to_owned(),
        Scope::Process(ProcessId { pid, .. }) => {
            let processes = app.data().map_or(&[][..], |data| &data.snapshot.processes);
            let name = processes.iter().find(|row| row.pid == *pid).map_or("gone", |row| &row.comm);
            format!("{name} {pid}")
        }
    }
}
