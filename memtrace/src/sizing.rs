//! Sizing: the memory that a workload needs, from its history or from runs.
//!
//! Five-minute rows -> days -> terms -> a request and a limit, or why there are none; and what other tools would have
//! said on the same data. Figures of runs -> budgets, the least limit. Pure. docs/sizing.md explains the formulas.

pub mod advise;
pub mod backtest;
pub mod days;
pub mod diff;
pub mod growth;
pub mod kept;
pub mod made_of;
pub mod others;
pub mod run;
pub mod saved;
#[cfg(test)]
pub(crate) mod tests;
pub mod versions;
