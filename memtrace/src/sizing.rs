//! Sizing: the memory that a workload needs, from its history.
//!
//! Five-minute rows -> days -> terms -> a request and a limit, or why there are none; and what other tools would have
//! said on the same data. Pure. docs/sizing.md explains the formulas.

pub mod advise;
pub mod backtest;
pub mod days;
pub mod growth;
pub mod others;
#[cfg(test)]
mod tests;
pub mod versions;
