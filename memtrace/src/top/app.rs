//! The state of the live view, and how keys and news change it.
//!
//! [`News`] from the feed and [`Action`](super::input::Action)s from the keys -> numbers that the views draw, and
//! [`Wish`]es for the caller. No widgets, no terminal, no clock.

mod act;
mod overlay;

use std::sync::Arc;

use super::{
    filter::Filter,
    input::Focus,
    page::{Place, Tab},
    rows::{
        self, By, Data, ProcessId, Row, RowId, Scope, Table,
        sort::{self, Sort},
    },
    trend::Trends,
};
use crate::{
    api::v1::{Kills, Update},
    oom::record::OomRecord,
    probe::status::ProbeStatus,
    snapshot::{ProcessRow, Snapshot},
};

pub use overlay::{Menu, Overlay};

/// The source of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// No data yet.
    #[default]
    Connecting,
    /// A daemon.
    Daemon,
    /// A daemon that this view started itself.
    Own,
    /// /proc only, and why.
    Proc(String),
    /// The connection to the daemon is lost, and why; it is retried.
    Lost(String),
    /// History, at the time of the snapshot.
    Past,
}

/// A message from the feed.
#[derive(Debug)]
pub enum News {
    /// The current state of the node.
    Update(Update),
    /// The status of the hooks.
    Probes(Arc<ProbeStatus>),
    /// Recorded kills; `None` when they cannot be read.
    Kills(Option<Arc<Kills>>),
    /// A process with symbol names in its call stacks.
    Named(Arc<ProcessRow>),
    /// A report, or why there is none.
    Report(Result<Box<OomRecord>, String>),
    /// The new source of the data.
    Link(Link),
    /// A message to show.
    Said(String),
}

impl News {
    /// The messages that make up existing data.
    pub fn of(data: &Data) -> Vec<Self> {
        let update = Update { snapshot: Arc::clone(&data.snapshot), insights: Arc::clone(&data.insights) };
        let link = match data.snapshot.tracer {
            Some(_) => Link::Daemon,
            None => Link::Proc("figures are from /proc".to_owned()),
        };
        [Self::Link(link), Self::Kills(data.kills.clone())]
            .into_iter()
            .chain(data.probes.clone().map(Self::Probes))
            .chain([Self::Update(update)])
            .collect()
    }
}

/// A request of the state to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Quit.
    Quit,
    /// Suspend, like Ctrl-Z in a shell.
    Suspend,
    /// Redraw everything.
    Redraw,
    /// The record of a kill.
    Record(String),
    /// Copy this to the clipboard.
    Copy(String),
    /// Go back in time, or forward.
    Step(isize),
}

/// The data of one moment.
#[derive(Clone, Debug)]
struct View {
    data: Data,
    trends: Trends,
}

/// The state.
#[derive(Clone, Debug)]
pub struct App {
    host: String,
    link: Link,
    latest: Option<View>,
    held: Option<Box<View>>,
    tabs: [Vec<Place>; Tab::ALL.len()],
    tab: usize,
    overlay: Option<Overlay>,
    typing: Option<String>,
    message: Option<String>,
    table: Table,
    unfiltered: usize,
    screen_rows: usize,
    probes: Option<Arc<ProbeStatus>>,
    kills: Option<Arc<Kills>>,
    named: Option<Arc<ProcessRow>>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            host: String::new(),
            link: Link::default(),
            latest: None,
            held: None,
            tabs: Tab::ALL.map(|tab| vec![tab.root()]),
            tab: 0,
            overlay: None,
            typing: None,
            message: None,
            table: Table { columns: By::Container.columns(), rows: Vec::new() },
            unfiltered: 0,
            screen_rows: 1,
            probes: None,
            kills: None,
            named: None,
        }
    }
}

impl App {
    /// The view of a host.
    pub fn of(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }

    /// Sets the initial kind of rows, order and filter.
    pub fn start_with(&mut self, by: By, sort: Sort, filter: Filter, filter_text: &str) {
        let root = Place { sort, filter, filter_text: filter_text.to_owned(), ..Place::new(by, Scope::Node) };
        self.tab = match by {
            By::Pod | By::Container => 0,
            By::Process => 1,
            By::Arena | By::Stack => 2,
            By::Kill => 3,
            By::Probe => 4,
        };
        if let Some(places) = self.tabs.get_mut(self.tab) {
            *places = vec![root];
        }
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Takes a message from the feed.
    pub fn take(&mut self, news: News) {
        match news {
            News::Update(update) => {
                let before = self.latest.take();
                let (before, mut trends) = before
                    .map_or((None, Trends::default()), |known| (Some(known.data.snapshot), known.trends));
                let insights = trends.complete(&update);
                let before = before.as_deref();
                let (events_per_second, scan_share) =
                    before.and_then(|before| rates(before, &update.snapshot)).unzip();
                let data = Data {
                    snapshot: update.snapshot,
                    insights,
                    events_per_second,
                    scan_share,
                    kills: self.kills.clone(),
                    probes: self.probes.clone(),
                    named: self.named.clone(),
                };
                self.latest = Some(View { data, trends });
            }
            News::Probes(probes) => {
                self.probes = Some(probes);
                self.spread();
            }
            News::Kills(kills) => {
                self.kills = kills;
                self.spread();
            }
            News::Named(row) => {
                self.named = Some(row);
                self.spread();
            }
            News::Report(report) => {
                self.overlay = Some(Overlay::report(report.as_deref()));
            }
            News::Link(link) => self.link = link,
            News::Said(message) => self.message = Some(message),
        }
        if self.held.is_none() {
            self.lay_out();
        }
    }

    /// Adds the latest data that is not part of the snapshot.
    fn spread(&mut self) {
        if let Some(View { data, .. }) = &mut self.latest {
            (data.probes, data.kills, data.named) =
                (self.probes.clone(), self.kills.clone(), self.named.clone());
        }
    }

    /// Rebuilds the rows of the current place, and finds the selected row again.
    fn lay_out(&mut self) {
        let Some(View { data, .. }) = self.held.as_deref().or(self.latest.as_ref()) else { return };
        let Some(place) = self.tabs.get_mut(self.tab).and_then(|places| places.last_mut()) else { return };
        let mut table = rows::rows(data, place.by, &place.scope);
        self.unfiltered = table.rows.len();
        table.rows.retain(|row| place.filter.passes(row));
        sort::sort(&mut table, place.by, &place.sort);
        let found = table.rows.iter().position(|row| place.selected.as_ref() == Some(&row.id));
        place.index = found.unwrap_or(place.index).min(table.rows.len().saturating_sub(1));
        place.selected = table.rows.get(place.index).map(|row| row.id.clone());
        place.offset = place
            .offset
            .max((place.index + 1).saturating_sub(self.screen_rows))
            .min(place.index)
            .min(table.rows.len().saturating_sub(self.screen_rows));
        self.table = table;
    }

    /// Sets the number of rows on the screen, and keeps the selected one visible.
    pub fn set_screen_rows(&mut self, rows: usize) {
        if self.screen_rows != rows.max(1) {
            self.screen_rows = rows.max(1);
            self.lay_out();
        }
    }

    /// The data shown.
    pub fn data(&self) -> Option<&Data> {
        self.held.as_deref().or(self.latest.as_ref()).map(|known| &known.data)
    }

    /// The source of the data.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Whether history is shown.
    pub fn is_in_the_past(&self) -> bool {
        self.link == Link::Past
    }

    /// Age of a paused view in seconds; `None` when it is not paused.
    pub fn held_for(&self) -> Option<f64> {
        let (held, latest) = (self.held.as_ref()?, self.latest.as_ref()?);
        Some(latest.data.snapshot.time.duration_since(held.data.snapshot.time).as_secs_f64())
    }

    /// The index of the current tab.
    pub fn tab(&self) -> usize {
        self.tab
    }

    /// The stack of places; the last is the current one.
    pub fn places(&self) -> &[Place] {
        self.tabs.get(self.tab).map_or(&[], Vec::as_slice)
    }

    /// The current place.
    pub fn place(&self) -> Option<&Place> {
        self.places().last()
    }

    fn place_mut(&mut self) -> Option<&mut Place> {
        self.tabs.get_mut(self.tab)?.last_mut()
    }

    /// The sorted rows.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Number of rows, including those that the filter hides.
    pub fn unfiltered(&self) -> usize {
        self.unfiltered
    }

    /// The selected row.
    pub fn selected(&self) -> Option<&Row> {
        self.table.rows.get(self.place()?.index)
    }

    /// The overlay above the rows.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    /// The filter text being typed.
    pub fn typing(&self) -> Option<&str> {
        self.typing.as_deref()
    }

    /// The current message.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Shows a message until the next key.
    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    /// Which part receives keys.
    pub fn focus(&self) -> Focus {
        match (&self.typing, &self.overlay) {
            (Some(_), _) => Focus::Filter,
            (None, Some(Overlay::Menu(_))) => Focus::Menu,
            (None, Some(Overlay::Help { .. } | Overlay::Report { .. })) => Focus::Text,
            (None, None) => Focus::Rows,
        }
    }

    /// The process whose call stacks need symbol names.
    pub fn wants_names_of(&self) -> Option<ProcessId> {
        self.place()?.process()
    }
}

/// Events per second, and the share of a CPU for page-table reads.
fn rates(before: &Snapshot, now: &Snapshot) -> Option<(f64, f64)> {
    let (old, new) = (before.tracer.as_ref()?, now.tracer.as_ref()?);
    let seconds = now.time.duration_since(before.time).as_secs_f64();
    // A restarted daemon counts from 0.
    let events = new.events.checked_sub(old.events)?;
    let scans = (new.scans.seconds - old.scans.seconds).max(0.0);
    (seconds > 0.05).then(|| (events as f64 / seconds, scans / seconds))
}

/// The kill to report on: the row's own, or the newest in the container or of the process.
fn kill_of(kills: Option<&Kills>, row: &RowId) -> Option<String> {
    let kills = &kills?.kills;
    match row {
        RowId::Kill(id) => Some(id.clone()),
        RowId::Container(cgroup) => {
            let is_here = |path: &Option<String>| path.as_ref() == Some(cgroup);
            let newest = kills.iter().find(|kill| is_here(&kill.cgroup) || is_here(&kill.limit_owner));
            newest.map(|kill| kill.id.clone())
        }
        RowId::Pod(_) | RowId::Process(_) | RowId::Arena(..) | RowId::Stack(..) | RowId::Probe(_) => None,
    }
}

#[cfg(test)]
mod tests;
