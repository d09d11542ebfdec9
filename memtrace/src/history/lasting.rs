//! The history that lasts: five-minute rows of each workload.
//!
//! Snapshots -> [`Row`]s, by [`Workload`](crate::container::workload::Workload) and wall-clock time, so that they survive
//! boots. Pure; the store keeps them. What is kept is the memory that cannot be reclaimed (`U`: anonymous memory, shared
//! memory, unreclaimable kernel memory, locked files): the charge without page cache and reclaimable slab.

pub mod fold;
mod instance;
mod row;

pub use self::{
    fold::{Dropped, Fold},
    row::{ArenaUse, Kinds, Row, SLOT, slot_of},
};
