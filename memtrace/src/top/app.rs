//! The state of the live view, and how keys and news change it.
//!
//! [`News`] from the feed and [`Action`]s from the keys -> numbers that the views draw, and [`Wish`]es for the outside.
//! No widgets, no terminal, no clock.

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

/// Where the data come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing has come yet.
    #[default]
    Connecting,
    /// A daemon.
    Daemon,
    /// A daemon that this view started for itself.
    Own,
    /// /proc alone, and why.
    Proc(String),
    /// A daemon that is gone, and why; it is asked again and again.
    Lost(String),
    /// History, at the time of the snapshot.
    Past,
}

/// What the feed brings.
#[derive(Debug)]
pub enum News {
    /// The node now.
    Update(Update),
    /// What came of the hooks.
    Probes(Arc<ProbeStatus>),
    /// Recorded kills; `None` when they cannot be read.
    Kills(Option<Arc<Kills>>),
    /// A process whose call stacks have names.
    Named(Arc<ProcessRow>),
    /// A report, or why there is none.
    Report(Result<Box<OomRecord>, String>),
    /// Where the data come from now.
    Link(Link),
    /// Something to say.
    Said(String),
}

impl News {
    /// What is known already, as if it came now.
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

/// What the state wants from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// End.
    Quit,
    /// Stop, as the shell's Ctrl-Z.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// The record of a kill.
    Record(String),
    /// Put this on the clipboard.
    Copy(String),
    /// Go back in time, or forward.
    Step(isize),
}

/// What is known, as of one moment.
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

    /// Starts with rows of this kind, in this order, those that pass.
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

    /// Takes what the feed brings.
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

    /// What comes beside the snapshot is of the latest.
    fn spread(&mut self) {
        if let Some(View { data, .. }) = &mut self.latest {
            (data.probes, data.kills, data.named) =
                (self.probes.clone(), self.kills.clone(), self.named.clone());
        }
    }

    /// Makes the rows of where one is, and finds the selected one again.
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

    /// How many rows the screen has: the selected one is kept on it.
    pub fn set_screen_rows(&mut self, rows: usize) {
        if self.screen_rows != rows.max(1) {
            self.screen_rows = rows.max(1);
            self.lay_out();
        }
    }

    /// What is shown.
    pub fn data(&self) -> Option<&Data> {
        self.held.as_deref().or(self.latest.as_ref()).map(|known| &known.data)
    }

    /// Where the data come from.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Whether it is history that is shown.
    pub fn is_in_the_past(&self) -> bool {
        self.link == Link::Past
    }

    /// How old the picture is that is held, in seconds; `None` when it is not held.
    pub fn held_for(&self) -> Option<f64> {
        let (held, latest) = (self.held.as_ref()?, self.latest.as_ref()?);
        Some(latest.data.snapshot.time.duration_since(held.data.snapshot.time).as_secs_f64())
    }

    /// The view.
    pub fn tab(&self) -> usize {
        self.tab
    }

    /// The places one came through, the last is where one is.
    pub fn places(&self) -> &[Place] {
        self.tabs.get(self.tab).map_or(&[], Vec::as_slice)
    }

    /// Where one is.
    pub fn place(&self) -> Option<&Place> {
        self.places().last()
    }

    fn place_mut(&mut self) -> Option<&mut Place> {
        self.tabs.get_mut(self.tab)?.last_mut()
    }

    /// The rows, in order.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many rows there are, the ones that the filter holds back too.
    pub fn unfiltered(&self) -> usize {
        self.unfiltered
    }

    /// The row that is looked at.
    pub fn selected(&self) -> Option<&Row> {
        self.table.rows.get(self.place()?.index)
    }

    /// What lies over the rows.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    /// What is being typed.
    pub fn typing(&self) -> Option<&str> {
        self.typing.as_deref()
    }

    /// What was said last.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Says something, until the next key.
    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    /// What takes the keys.
    pub fn focus(&self) -> Focus {
        match (&self.typing, &self.overlay) {
            (Some(_), _) => Focus::Filter,
            (None, Some(Overlay::Menu(_))) => Focus::Menu,
            (None, Some(Overlay::Help { .. } | Overlay::Report { .. })) => Focus::Text,
            (None, None) => Focus::Rows,
        }
    }

    /// The process whose call stacks should have names.
    pub fn wants_names_of(&self) -> Option<ProcessId> {
        self.place()?.process()
    }
}

/// Events, and seconds of reading page tables, a second.
fn rates(before: &Snapshot, now: &Snapshot) -> Option<(f64, f64)> {
    let (old, new) = (before.tracer.as_ref()?, now.tracer.as_ref()?);
    let seconds = now.time.duration_since(before.time).as_secs_f64();
    // A daemon that was started anew counts from 0.
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
