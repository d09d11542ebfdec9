//! Groups that are killed as a whole (`memory.oom.group`): the kernel marks each member, and all marks are one kill.
//!
//! Input: two records. Output: whether the second is a member of the first's group. Pure. One task marks all members in
//! quick succession, in a separate function (mm/oom_kill.c `oom_kill_memcg_member`).

use super::record::OomRecord;

/// The longest time between the first mark and the last, in ns.
const WITHIN: u64 = 2_000_000_000;
/// The function on the kernel stack of every mark except the first.
const MEMBER: &str = "oom_kill_memcg_member";

/// Whether `next` is another victim of the kill in `first`.
pub fn is_member(first: &OomRecord, next: &OomRecord) -> bool {
    let since = next.ktime_ns.checked_sub(first.ktime_ns);
    let owner = |record: &OomRecord| record.limit_owner.as_ref().and_then(|owner| owner.cgroup_id);
    let mut symbols = next.kernel_stack.iter().filter_map(|frame| frame.symbol.as_deref());
    let is_named = next.kernel_stack.iter().any(|frame| frame.symbol.is_some());
    let by_name = symbols.any(|symbol| symbol.starts_with(MEMBER));
    // Without symbols: the group has `memory.oom.group`, and already a victim.
    let by_flag = !is_named && next.chain.iter().any(|level| level.oom_group);
    next.boot_id == first.boot_id
        && since.is_some_and(|since| since <= WITHIN)
        && first.trigger.task.tid == next.trigger.task.tid
        && first.victim.task.tid != next.victim.task.tid
        && (owner(first) == owner(next) || owner(next).is_none())
        && (by_name || by_flag)
}

#[cfg(test)]
mod tests {
    use super::{OomRecord, is_member};
    use crate::oom::{cause, record::Frame};

    fn pair() -> (OomRecord, OomRecord) {
        let first = cause::fixture::record(10);
        let mut next = first.clone();
        next.ktime_ns += 1_000_000;
        next.victim.task.tid = 77;
        let frame = |symbol: &str| Frame { address: "0x1".into(), symbol: Some(symbol.into()) };
        next.kernel_stack = vec![frame("__oom_kill_process"), frame("oom_kill_memcg_member")];
        (first, next)
    }

    #[test]
    fn marks_by_one_task_for_one_group_are_one_kill() {
        let (first, next) = pair();
        assert!(is_member(&first, &next));
        assert!(!is_member(&next, &first), "the first mark is not a member's");
    }

    #[test]
    fn other_kills_are_others() {
        let (first, next) = pair();
        let other = |change: fn(&mut OomRecord)| {
            let mut next = next.clone();
            change(&mut next);
            is_member(&first, &next)
        };
        assert!(!other(|next| next.kernel_stack.clear()));
        assert!(!other(|next| next.ktime_ns += 10_000_000_000));
        assert!(!other(|next| next.trigger.task.tid = 1234));
        assert!(!other(|next| next.boot_id = "another".into()));
        assert!(!other(|next| next.limit_owner.as_mut().unwrap().cgroup_id = Some(99)));
    }
}
