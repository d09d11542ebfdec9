//! Conversion of column values.
//!
//! Typed values <-> text and numbers of SQLite. Pure.

use jiff::Timestamp;
use serde::Serialize;

use crate::oom::record::ScopeKind;

/// The JSON word of a value.
pub(super) fn word(value: impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

/// The years 1677 to 2262 fit; times outside are clamped, so the order is kept.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let exact = time.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// The name of a scope.
pub(super) fn scope_name(scope: ScopeKind) -> &'static str {
    match scope {
        ScopeKind::Memcg => "memcg",
        ScopeKind::Global => "global",
        ScopeKind::Unknown => "unknown",
    }
}

/// The scope of a name; one stored by a newer version becomes unknown.
pub(super) fn scope_of(name: &str) -> ScopeKind {
    match name {
        "memcg" => ScopeKind::Memcg,
        "global" => ScopeKind::Global,
        _ => ScopeKind::Unknown,
    }
}
