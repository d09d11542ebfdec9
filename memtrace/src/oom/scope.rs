//! Determines what ran out of memory: a memory cgroup, or the node.
//!
//! Input: the names on the trigger's kernel stack, innermost first. Output: [`Scope`]. The call path decides:
//! mm/memcontrol.c `mem_cgroup_out_of_memory` calls mm/oom_kill.c `out_of_memory` for a group's limit, the page
//! allocator and sysrq call `out_of_memory` without it.

use memtrace_common::{UNKNOWN, event::oom::Request};

use super::record::{Scope, ScopeKind};
use crate::units::Grade;

const MEMCG: &str = "mem_cgroup_out_of_memory";
const ANY: &str = "out_of_memory";

/// Determines the scope. `groups_counted`: whether a group's own `oom` counter is known to have grown.
pub fn scope<'a>(
    names: impl IntoIterator<Item = Option<&'a str>>,
    groups_counted: bool,
    request: &Request,
) -> Scope {
    if request.is_known == 1 && request.memcg != UNKNOWN {
        let (kind, why) = match request.memcg {
            0 => (ScopeKind::Global, "the kernel's kill request names no memory cgroup"),
            _ => (ScopeKind::Memcg, "the kernel's kill request names a memory cgroup"),
        };
        return Scope { kind, grade: Grade::Read, why: why.to_owned() };
    }
    let mut called = None;
    for name in names.into_iter().flatten() {
        match base(name) {
            MEMCG => {
                return Scope {
                    kind: ScopeKind::Memcg,
                    grade: Grade::Read,
                    why: format!("the kernel stack contains {MEMCG}"),
                };
            }
            ANY => called = Some(ANY),
            _ => {}
        }
    }
    match called {
        Some(name) => Scope {
            kind: ScopeKind::Global,
            grade: Grade::Read,
            why: format!("the kernel stack contains {name} and no function of a memory cgroup"),
        },
        None if groups_counted => Scope {
            kind: ScopeKind::Memcg,
            grade: Grade::Inferred,
            why: "the oom counter of a memory cgroup grew; the kernel stack has no symbol names".to_owned(),
        },
        None => Scope {
            kind: ScopeKind::Unknown,
            grade: Grade::Inferred,
            why: "the kernel stack has no symbol names (see CAP_SYSLOG, kernel.kptr_restrict)".to_owned(),
        },
    }
}

/// A function's name without compiler suffixes (`.part.0`, `.constprop.0`).
fn base(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{Grade, Request, ScopeKind, UNKNOWN, scope};

    const UNASKED: Request = Request { memcg: UNKNOWN, order: 0, gfp_mask: 0, constraint: 0, is_known: 0 };

    fn kind(names: &[&str]) -> ScopeKind {
        scope(names.iter().copied().map(Some), false, &UNASKED).kind
    }

    /// Stacks captured on 5.10 to 7.3.
    #[test]
    fn the_call_path_tells() {
        let memcg = [
            "__oom_kill_process",
            "oom_kill_process",
            "out_of_memory",
            "mem_cgroup_out_of_memory",
            "try_charge_memcg",
        ];
        assert_eq!(kind(&memcg), ScopeKind::Memcg);
        assert_eq!(
            kind(&["oom_kill_process", "out_of_memory", "__alloc_pages_slowpath.constprop.0"]),
            ScopeKind::Global
        );
        assert_eq!(kind(&["oom_kill_process", "out_of_memory", "moom_callback"]), ScopeKind::Global);
        assert_eq!(
            kind(&["oom_kill_memcg_member", "mem_cgroup_scan_tasks", "mem_cgroup_out_of_memory"]),
            ScopeKind::Memcg
        );
    }

    #[test]
    fn without_names_the_counter_is_all_there_is() {
        assert_eq!(scope([None, None], false, &UNASKED).kind, ScopeKind::Unknown);
        let inferred = scope([None], true, &UNASKED);
        assert_eq!((inferred.kind, inferred.grade), (ScopeKind::Memcg, Grade::Inferred));
    }
}
