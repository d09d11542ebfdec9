//! The current place: kind and scope of the rows, and the selected row.
//!
//! Plain data. A [`Place`] remembers its order, filter and selection, so that going back restores them.

use super::{
    filter::Filter,
    rows::{By, ProcessId, RowId, Scope, sort::Sort},
};

/// The views, in the order of Tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Containers, or pods.
    Containers,
    /// Processes of the node.
    Processes,
    /// Arenas of all processes.
    Arenas,
    /// Recorded OOM kills.
    Kills,
    /// Hooks and losses.
    Probes,
}

impl Tab {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::Containers, Self::Processes, Self::Arenas, Self::Kills, Self::Probes];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Containers => "Containers",
            Self::Processes => "Processes",
            Self::Arenas => "Arenas",
            Self::Kills => "Kills",
            Self::Probes => "Probes",
        }
    }

    /// Its initial place.
    pub fn root(self) -> Place {
        match self {
            Self::Containers => Place::new(By::Container, Scope::Node),
            Self::Processes => Place::new(By::Process, Scope::Node),
            Self::Arenas => Place::new(By::Arena, Scope::Node),
            Self::Kills => Place::new(By::Kill, Scope::Node),
            Self::Probes => Place::new(By::Probe, Scope::Node),
        }
    }
}

/// A list of rows.
#[derive(Clone, Debug)]
pub struct Place {
    /// The kind of rows.
    pub by: By,
    /// The scope of the rows.
    pub scope: Scope,
    /// The order of the rows.
    pub sort: Sort,
    /// The filter of the rows.
    pub filter: Filter,
    /// The filter as it was typed.
    pub filter_text: String,
    /// The selected row.
    pub selected: Option<RowId>,
    /// Index of the selected row, used when the row disappears.
    pub index: usize,
    /// The first row on the screen.
    pub offset: usize,
}

impl Place {
    /// A place in default order, with all rows.
    pub fn new(by: By, scope: Scope) -> Self {
        Self {
            by,
            scope,
            sort: Sort::of(by),
            filter: Filter::default(),
            filter_text: String::new(),
            selected: None,
            index: 0,
            offset: 0,
        }
    }

    /// The place that Enter on a row leads to.
    pub fn inside(&self, row: &RowId) -> Option<Self> {
        match row {
            RowId::Pod(key) => Some(Self::new(By::Container, Scope::Pod(key.clone()))),
            RowId::Container(cgroup) => Some(Self::new(By::Process, Scope::Container(cgroup.clone()))),
            // From the node's arenas, Enter leads to the process first.
            RowId::Process(id) => Some(Self::new(By::Arena, Scope::Process(*id))),
            RowId::Arena(id, ..) if self.scope != Scope::Process(*id) => {
                Some(Self { selected: Some(row.clone()), ..Self::new(By::Arena, Scope::Process(*id)) })
            }
            RowId::Arena(id, ..) => Some(Self::new(By::Stack, Scope::Process(*id))),
            RowId::Stack(..) | RowId::Kill(_) | RowId::Probe(_) => None,
        }
    }

    /// The process of this place.
    pub fn process(&self) -> Option<ProcessId> {
        match self.scope {
            Scope::Process(id) => Some(id),
            Scope::Node | Scope::Pod(_) | Scope::Container(_) => None,
        }
    }
}
