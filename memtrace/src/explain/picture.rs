//! The input of all parts of a page.
//!
//! Only values: rows of a snapshot, and further facts.

use super::facts::Facts;
use crate::{
    cgroup::{charge::Charge, memcg::Limit},
    snapshot::ProcessRow,
};

/// The input of all parts.
pub(super) struct Picture<'a> {
    pub(super) processes: Vec<&'a ProcessRow>,
    pub(super) charge: Option<Charge>,
    pub(super) limit: Option<Limit>,
    pub(super) is_process: bool,
    pub(super) facts: &'a Facts,
}
