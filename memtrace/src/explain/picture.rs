//! What every part of a page is built from.
//!
//! Only values: rows of a snapshot, and facts that it does not hold.

use super::facts::Facts;
use crate::{
    cgroup::{charge::Charge, memcg::Limit},
    snapshot::ProcessRow,
};

/// What everything is built from.
pub(super) struct Picture<'a> {
    pub(super) processes: Vec<&'a ProcessRow>,
    pub(super) charge: Option<Charge>,
    pub(super) limit: Option<Limit>,
    pub(super) is_process: bool,
    pub(super) facts: &'a Facts,
}
