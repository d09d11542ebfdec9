//! Sizing: what memory a workload needs, from what was seen.
//!
//! Figures of runs and of history -> numbers with their reason. Pure: reads nothing, asks no clock.

pub mod run;
