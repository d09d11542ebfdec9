//! Rows of every kind, from the data about the node.
//!
//! [`Data`] and a [`Scope`] -> a [`Table`] of values. Pure; one file per kind of row. Must not format numbers as text.

mod arena;
mod container;
mod kill;
mod pod;
mod probe;
mod process;
pub mod sort;
mod stack;

use std::{collections::HashMap, sync::Arc};

use clap::ValueEnum;

use super::{
    column::{self, Column, UnknownField},
    value::Value,
};
use crate::{
    api::v1::Kills,
    cgroup::hierarchy::is_within,
    container::name::Name,
    probe::status::ProbeStatus,
    snapshot::{ContainerRow, ProcessRow, Snapshot},
    units::Bytes,
    verdict::Insights,
};

pub use self::{
    container::{file, state},
    pod::key as pod_of,
    stack::{frame, id as stack_id, stacks},
};

/// The data that rows are made from.
#[derive(Clone, Debug)]
pub struct Data {
    /// The node.
    pub snapshot: Arc<Snapshot>,
    /// Verdicts from history.
    pub insights: Arc<Insights>,
    /// Events per second.
    pub events_per_second: Option<f64>,
    /// Share of a CPU spent on reading page tables.
    pub scan_share: Option<f64>,
    /// Recorded kills; `None` where they cannot be read.
    pub kills: Option<Arc<Kills>>,
    /// Status of the hooks; `None` without a daemon.
    pub probes: Option<Arc<ProbeStatus>>,
    /// A process with symbol names in its call stacks.
    pub named: Option<Arc<ProcessRow>>,
}

/// What each row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum By {
    /// One row per pod, or per directory of cgroups.
    Pod,
    /// One row per container: a cgroup with processes.
    Container,
    /// One row per process.
    Process,
    /// One row per memory owner in a process: an allocator, a module, stacks.
    Arena,
    /// One row per call stack that touched new memory.
    Stack,
    /// One row per recorded OOM kill.
    Kill,
    /// One row per hook of the tracer, and per kind of lost event.
    Probe,
}

/// The scope of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Node,
    /// Those of a pod, by its key.
    Pod(String),
    /// Those of a container, by its cgroup.
    Container(String),
    /// Those of a process.
    Process(ProcessId),
}

/// The identity of a process; pids are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// When it started, in whole seconds, because the exact figure varies between snapshots.
    pub started: Option<i64>,
}

impl ProcessId {
    /// The identity of a row's process.
    pub fn of(row: &ProcessRow) -> Self {
        // With an offset, so that a start close to a full second does not flicker between two.
        Self { pid: row.pid, started: row.started.map(|time| (time.as_millisecond() + 250) / 1000) }
    }

    /// Whether a row is of this process; start times may differ by a second.
    pub fn is(&self, row: &ProcessRow) -> bool {
        let other = Self::of(row);
        let is_same_start = self.started.zip(other.started).is_none_or(|(a, b)| a.abs_diff(b) <= 1);
        self.pid == other.pid && is_same_start
    }
}

/// The identity of a row across refreshes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowId {
    /// A pod's key.
    Pod(String),
    /// A cgroup.
    Container(String),
    /// A process.
    Process(ProcessId),
    /// An allocator's use in a process.
    Arena(ProcessId, String, String),
    /// A call stack's addresses.
    Stack(ProcessId, Vec<String>),
    /// A record's id.
    Kill(String),
    /// A fact, a field, or a loss.
    Probe(String),
}

/// How urgent a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Normal.
    #[default]
    Calm,
    /// Needs attention.
    Warning,
    /// Urgent.
    Alarm,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its identity across refreshes.
    pub id: RowId,
    /// One value per column of the table.
    pub values: Vec<Value>,
    /// How urgent it is.
    pub state: State,
}

/// Rows of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The columns, hidden ones too.
    pub columns: Vec<&'static Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// A column by any of its names, and its index.
    pub fn column(&self, name: &str) -> Option<(usize, &'static Column)> {
        column::find(&self.columns, name).ok()
    }
}

// Each kind of row has a table of its columns, each with a function that gets its value from the row's facts.

fn columns<Get>(cells: &'static [(Column, Get)]) -> Vec<&'static Column> {
    cells.iter().map(|(column, _)| column).collect()
}

fn values<Get>(cells: &[(Column, Get)], value: impl Fn(&Get) -> Value) -> Vec<Value> {
    cells.iter().map(|(_, get)| value(get)).collect()
}

impl By {
    /// The columns of such rows, hidden ones too.
    pub fn columns(self) -> Vec<&'static Column> {
        match self {
            Self::Pod => pod::all_columns(),
            Self::Container => container::all_columns(),
            Self::Process => process::all_columns(),
            Self::Arena => arena::all_columns(),
            Self::Stack => stack::all_columns(),
            Self::Kill => kill::all_columns(),
            Self::Probe => probe::all_columns(),
        }
    }

    /// A column by any of its names.
    ///
    /// # Errors
    /// With the names that are known.
    pub fn column(self, name: &str) -> Result<&'static Column, UnknownField> {
        column::find(&self.columns(), name).map(|(_, column)| column)
    }

    /// The default sort column.
    pub const fn default_sort(self) -> &'static str {
        match self {
            Self::Pod | Self::Container => "limit_share",
            Self::Process => "rss_bytes",
            Self::Arena => "resident_bytes",
            Self::Stack => "growth_1m_bytes",
            Self::Kill => "time",
            Self::Probe => "number",
        }
    }

    /// The title of such rows.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Container => "containers",
            Self::Process => "processes",
            Self::Arena => "arenas",
            Self::Stack => "growth stacks",
            Self::Kill => "kills",
            Self::Probe => "probes",
        }
    }
}

/// The rows of a kind in a scope, unsorted.
pub fn rows(data: &Data, by: By, scope: &Scope) -> Table {
    let rows = match by {
        By::Pod => pod::rows(data),
        By::Container => container::rows(data, scope),
        By::Process => process::rows(data, scope),
        By::Arena => arena::rows(data, scope),
        By::Stack => stack::rows(data, scope),
        By::Kill => kill::rows(data, scope),
        By::Probe => probe::rows(data),
    };
    Table { columns: by.columns(), rows }
}

impl Scope {
    /// The containers in it.
    fn containers<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a ContainerRow> {
        snapshot.containers.iter().filter(move |row| match self {
            Self::Node => true,
            Self::Pod(key) => pod::key(row) == *key,
            Self::Container(cgroup) => row.cgroup == *cgroup,
            Self::Process(_) => false,
        })
    }

    /// The processes in it.
    fn processes<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<&'a ProcessRow> {
        let pods: HashMap<&str, String> = match self {
            Self::Pod(_) => snapshot.containers.iter().map(|row| (&*row.cgroup, pod::key(row))).collect(),
            Self::Node | Self::Container(_) | Self::Process(_) => HashMap::new(),
        };
        // A group also has the processes of the cgroups below it.
        let is_group = match self {
            Self::Container(of) => snapshot.containers.iter().any(|row| row.is_group && row.cgroup == *of),
            Self::Node | Self::Pod(_) | Self::Process(_) => false,
        };
        let is_of = |cgroup: &str, of: &str| if is_group { is_within(cgroup, of) } else { cgroup == of };
        let is_in = |row: &&ProcessRow| match self {
            Self::Node => true,
            Self::Pod(key) => row.cgroup.as_deref().and_then(|cgroup| pods.get(cgroup)) == Some(key),
            Self::Container(of) => row.cgroup.as_deref().is_some_and(|cgroup| is_of(cgroup, of)),
            Self::Process(id) => id.is(row),
        };
        snapshot.rows().filter(is_in).collect()
    }
}

/// The containers by cgroup.
fn by_cgroup(snapshot: &Snapshot) -> HashMap<&str, &ContainerRow> {
    snapshot.containers.iter().map(|row| (row.cgroup.as_str(), row)).collect()
}

/// The name of a cgroup's container, else the cgroup.
fn place(container: Option<&ContainerRow>, cgroup: Option<&str>) -> Value {
    container.map_or_else(|| Value::words(cgroup), |row| Value::Text(label(row)))
}

/// One of the names of a container.
fn named(container: Option<&ContainerRow>, name: impl Fn(&Name) -> Option<&String>) -> Value {
    Value::words(container.and_then(|row| name(row.name.as_ref()?)).map(String::as_str))
}

/// The name of a container, else its cgroup.
pub fn label(row: &ContainerRow) -> String {
    let name = row.name.as_ref().and_then(|name| name.label()).unwrap_or_else(|| row.cgroup.clone());
    // A group stands for everything below it.
    if row.is_group && name != "/" { format!("{name}/*") } else { name }
}

/// Memory that is free in its allocators, but resident; `None` without allocator counters.
fn slack(process: &ProcessRow) -> Option<Bytes> {
    let counters = &process.memory.as_ref()?.counters;
    let free = counters.iter().filter_map(|counters| counters.free_resident_bytes);
    free.map(|Bytes(bytes)| bytes).reduce(u64::saturating_add).map(Bytes)
}

#[cfg(test)]
pub mod tests;
