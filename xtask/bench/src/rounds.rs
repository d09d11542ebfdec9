//! The same work with and without memtrace, in turns.
//!
//! Loads and states -> one figure of each in each round, and their ratios. A round has every state once, in an order
//! that changes from round to round, so that a drift of the machine is nobody's.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use serde::Serialize;
use xtask_base::agent::Agent;

use super::{
    load::{Figure, LOADS, Programs, Services},
    say,
    stats::{Summary, ratios, summary},
};

/// What runs beside the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    /// The daemon's arguments; `None` for no daemon.
    arguments: Option<&'static [&'static str]>,
}

/// The first is what the others are compared with.
pub(crate) const STATES: [State; 4] = [
    State { name: "off", does: "no memtrace", arguments: None },
    State { name: "daemon", does: "the daemon with default options", arguments: Some(&[]) },
    State {
        name: "no faults",
        does: "the daemon without the page-fault sampler",
        arguments: Some(&["--fault-period", "0"]),
    },
    State {
        name: "hooks only",
        does: "all programs run but send nothing (event budget 1, no sampler)",
        arguments: Some(&["--fault-period", "0", "--event-budget", "1"]),
    },
];

/// Until the daemon has read the node's processes, which it does once.
const SETTLE: Duration = Duration::from_secs(2);

/// Everything that came of the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) rounds: usize,
    pub(crate) cells: Vec<Cell>,
}

/// A load in a state.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) load: &'static str,
    pub(crate) state: &'static str,
    /// As the load prints it.
    pub(crate) figure: Option<Summary>,
    /// To the same round without memtrace; for rates the other way around, so that more is always dearer.
    pub(crate) ratio: Option<Summary>,
    /// What one took more, in ns; `None` for rates.
    pub(crate) added_ns: Option<Summary>,
    /// Every round's figure.
    pub(crate) figures: Vec<f64>,
}

pub(crate) fn measure(bin: &Path, programs: &Programs, rounds: usize) -> Result<Rounds> {
    let services = Services::start(programs)?;
    let mut figures = vec![Vec::new(); LOADS.len() * STATES.len()];
    // Once before, so that nothing is read from the disk in the first round.
    once(bin, programs, &services, 0, &mut vec![Vec::new(); figures.len()])?;
    for round in 0..rounds {
        say(&format!("round {} of {rounds}", round + 1));
        for state in order(round) {
            once(bin, programs, &services, state, &mut figures)?;
        }
    }
    Ok(Rounds { rounds, cells: cells(&figures) })
}

/// Begins with another state in each round, and turns around in every second one: what comes before a state, and how long
/// the machine has been busy by then, is no state's own.
fn order(round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..STATES.len()).map(|at| (at + round / 2) % STATES.len()).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Every load once, in this state.
fn once(
    bin: &Path,
    programs: &Programs,
    services: &Services,
    state: usize,
    figures: &mut [Vec<f64>],
) -> Result<()> {
    let arguments = STATES.get(state).and_then(|state| state.arguments);
    let _agent = arguments.map(|arguments| Agent::start(bin, arguments)).transpose()?;
    // Without a daemon too: a processor that has rested is not one that has not.
    thread::sleep(SETTLE);
    for (load, row) in LOADS.iter().zip(figures.chunks_mut(STATES.len())) {
        let figure = programs.run(load, &[], Some(services))?;
        if let Some(cell) = row.get_mut(state) {
            cell.push(figure);
        }
    }
    Ok(())
}

fn cells(figures: &[Vec<f64>]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (load, row) in LOADS.iter().zip(figures.chunks(STATES.len())) {
        let Some(base) = row.first() else { continue };
        for (state, figures) in STATES.iter().zip(row) {
            let (ratio, added) = match load.figure {
                Figure::Nanoseconds => {
                    let added: Vec<f64> = figures.iter().zip(base).map(|(with, off)| with - off).collect();
                    (ratios(figures, base), summary(&added))
                }
                Figure::Rate => (ratios(base, figures), None),
            };
            cells.push(Cell {
                load: load.name,
                state: state.name,
                figure: summary(figures),
                ratio: summary(&ratio),
                added_ns: added,
                figures: figures.clone(),
            });
        }
    }
    cells
}

impl Rounds {
    pub(crate) fn cell(&self, load: &str, state: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.load == load && cell.state == state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_begins_and_ends_as_many_rounds() {
        for state in 0..STATES.len() {
            let rounds: Vec<Vec<usize>> = (0..STATES.len() * 2).map(order).collect();
            assert_eq!(rounds.iter().filter(|round| round.first() == Some(&state)).count(), 2);
            assert_eq!(rounds.iter().filter(|round| round.last() == Some(&state)).count(), 2);
        }
    }

    #[test]
    fn more_is_always_dearer() {
        let mut figures = vec![vec![100.0]; LOADS.len() * STATES.len()];
        figures[1] = vec![110.0];
        let redis = LOADS.iter().position(|load| load.figure == Figure::Rate).unwrap();
        figures[redis * STATES.len() + 1] = vec![80.0];
        let rounds = Rounds { rounds: 1, cells: cells(&figures) };
        let ratio = |load| rounds.cell(load, "daemon").unwrap().ratio.unwrap().median;
        assert_eq!((ratio(LOADS[0].name), ratio("redis"), ratio("mmap")), (1.1, 1.25, 1.0));
        assert_eq!(rounds.cell(LOADS[0].name, "daemon").unwrap().added_ns.unwrap().median, 10.0);
        assert!(rounds.cell("redis", "daemon").unwrap().added_ns.is_none());
    }
}
