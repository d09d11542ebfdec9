//! What ran out of memory, and the owner of the limit.
//!
//! Scope and owner of the limit -> a block.

use crate::{
    oom::record::{LimitOwner, OomRecord, ScopeKind},
    report::{
        describe::{UNKNOWN, cgroup, kilobytes, percent},
        document::Block,
        stack,
        style::Paint,
    },
    units::Bytes,
};

pub(super) fn limit(record: &OomRecord) -> Block {
    let OomRecord { scope, limit_owner, .. } = record;
    let mut block = Block::new("Limit");
    match scope.kind {
        ScopeKind::Memcg => block.field("what ran out", "the limit of a memory cgroup"),
        ScopeKind::Global if stack::is_by_hand(record) => {
            block.field("what ran out", "nothing: the kill was requested by hand (SysRq f)");
        }
        ScopeKind::Global => block.field("what ran out", "the memory of the node"),
        ScopeKind::Unknown => block.doubt("what ran out", UNKNOWN),
    }
    block.field("known by", format!("{}: {}", scope.grade, scope.why));
    match (scope.kind, limit_owner) {
        (_, Some(owner)) => owner_fields(&mut block, owner),
        (ScopeKind::Memcg, None) => block.doubt("whose limit", UNKNOWN),
        (ScopeKind::Global | ScopeKind::Unknown, None) => {}
    }
    block
}

fn owner_fields(block: &mut Block, owner: &LimitOwner) {
    let LimitOwner {
        path,
        cgroup_id,
        limit_bytes,
        usage_bytes,
        peak_bytes,
        fail_count: _,
        limit_hits,
        grade,
        why,
    } = owner;
    block.painted("whose limit", cgroup(path.as_deref(), *cgroup_id), Paint::Culprit);
    block.field("known by", format!("{grade}: {why}"));
    let amount = |bytes: Option<Bytes>| match bytes {
        Some(bytes) => format!("{bytes} ({})", kilobytes(bytes)),
        None => UNKNOWN.to_owned(),
    };
    block.field("limit", amount(*limit_bytes));
    let share = usage_bytes
        .zip(*limit_bytes)
        .and_then(|(usage, limit)| percent(usage, limit))
        .map(|share| format!(", {share} % of the limit"))
        .unwrap_or_default();
    block.field("usage", format!("{}{share}", amount(*usage_bytes)));
    block.field("peak", amount(*peak_bytes));
    let hits = limit_hits.map_or_else(|| UNKNOWN.to_owned(), |hits| format!("it was hit {hits} times"));
    block.field("hits", hits);
}
