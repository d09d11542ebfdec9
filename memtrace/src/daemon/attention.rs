//! What the page tables of the node are worth now: the whole share of a CPU while they are needed, else a fifth of it.
//!
//! Looks, groups near their limit, the node's memory -> the share. Pure. Where nobody looks and no memory runs short,
//! estimates from events and the kernel's totals do, and page tables only correct them later.

use super::governor::Orders;
use crate::{api::interest::Interest, snapshot::Node, units::Bytes};

const SECOND: u64 = 1_000_000_000;
/// How long the processes are looked at that were there at the start.
const FIRST_LOOK: u64 = 120 * SECOND;
/// How long a group that is near its limit keeps the attention; it is told again for as long as it moves.
const NEAR: u64 = 10 * SECOND;
/// The node runs short when less than 1/`SHORT` of its memory is available.
const SHORT: u64 = 8;
/// The part of the share that is used without attention.
const WITHOUT: u32 = 5;

/// The reasons for attention.
#[derive(Debug)]
pub struct Attention {
    interest: Interest,
    started: u64,
    near: Option<u64>,
}

impl Attention {
    /// At the start of the daemon, ns since boot.
    pub const fn new(interest: Interest, started: u64) -> Self {
        Self { interest, started, near: None }
    }

    /// Notes that a group is near its limit.
    pub const fn near(&mut self, now: u64) {
        self.near = Some(now);
    }

    /// The part of one CPU for page tables, in percent, at `now`, ns since boot. What is not known of the node is no
    /// reason to save.
    pub fn share(&self, orders: Orders, node: &Node, now: u64) -> u32 {
        let is_within = |since: u64, long: u64| now.saturating_sub(since) < long;
        let is_short = node
            .available_bytes
            .zip(node.total_bytes)
            .is_none_or(|(Bytes(available), Bytes(total))| available < total / SHORT);
        let is_needed = is_within(self.started, FIRST_LOOK)
            || self.near.is_some_and(|near| is_within(near, NEAR))
            || is_short
            || self.interest.is_there(now);
        if is_needed { orders.scan_share } else { (orders.scan_share / WITHOUT).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attention, Bytes, FIRST_LOOK, Interest, NEAR, Node, Orders, SECOND};

    const ORDERS: Orders = Orders { scan_share: 10, fault_shift: 0, budget_shift: 0 };

    fn node(available: u64) -> Node {
        Node { total_bytes: Some(Bytes(800)), available_bytes: Some(Bytes(available)), ..Node::default() }
    }

    #[test]
    fn without_a_reason_a_fifth_is_used() {
        let interest = Interest::default();
        let mut attention = Attention::new(interest.clone(), SECOND);
        let calm = SECOND + FIRST_LOOK;
        assert_eq!(attention.share(ORDERS, &node(400), calm - 1), 10, "the first look");
        assert_eq!(attention.share(ORDERS, &node(400), calm), 2);
        assert_eq!(attention.share(ORDERS, &node(99), calm), 10, "the node runs short");
        assert_eq!(attention.share(ORDERS, &Node::default(), calm), 10, "or may run short");
        attention.near(calm);
        assert_eq!(attention.share(ORDERS, &node(400), calm + NEAR - 1), 10, "a group is near its limit");
        assert_eq!(attention.share(ORDERS, &node(400), calm + NEAR), 2);
        interest.look(calm + NEAR);
        assert_eq!(attention.share(ORDERS, &node(400), calm + NEAR), 10, "somebody looks");
        let least = Orders { scan_share: 1, ..ORDERS };
        assert_eq!(Attention::new(Interest::default(), 0).share(least, &node(400), calm), 1, "never nothing");
    }
}
