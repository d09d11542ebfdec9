//! Whose memory it is, on this kernel: allocators recognised in programs of a small Debian.
//!
//! A snapshot of the guest's daemon -> the allocators of each program. Must not know how they are recognised.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{results::Results, transcript::Transcript};

/// The unit that all of them are of.
pub(crate) const UNIT: &str = "allocators";
/// Program, allocator that it must have, and how much it holds there at least, in KiB. The guest waits until the daemon has
/// seen that much (vm/guest/lib.sh: `are_recognised`).
const MUST_HAVE: [(&str, &str, u64); 3] =
    [("python3", "cpython", 8_000), ("python3", "glibc", 8_000), ("redis", "jemalloc", 256)];

/// The allocators of each program.
pub(crate) fn measure(said: &Transcript) -> Results {
    let mut results = Results::default();
    let (Some(programs), Some(snapshot)) = (said.get("allocators/programs"), said.get("allocators/snapshot"))
    else {
        results.missing(UNIT, "the programs did not start");
        return results;
    };
    let snapshot: Value = match serde_json::from_str(snapshot) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            results.missing(UNIT, &format!("{error}: {}", snapshot.trim()));
            return results;
        }
    };
    let programs: BTreeMap<&str, u64> = programs.lines().filter_map(program).collect();
    for (name, allocator, least) in MUST_HAVE {
        let held = programs.get(name).map_or(0, |pid| held(&snapshot, *pid, allocator)) / 1024;
        results.holds(&format!("{UNIT}.{name}.{allocator}"), held >= least, || {
            (format!("at least {least} KiB"), format!("{held} KiB"))
        });
        results.note(format!("{UNIT}.{name}.{allocator}"), "recognised");
    }
    results
}

/// `python3 113`
fn program(line: &str) -> Option<(&str, u64)> {
    let (name, pid) = line.split_once(' ')?;
    Some((name, pid.trim().parse().ok()?))
}

/// Resident bytes in the process's arenas of this allocator.
fn held(snapshot: &Value, pid: u64, allocator: &str) -> u64 {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let process = list(snapshot.get("processes"))
        .into_iter()
        .find(|process| process.get("pid").and_then(Value::as_u64) == Some(pid));
    let arenas = list(process.as_ref().and_then(|process| process.get("memory")?.get("arenas")));
    let own = arenas.iter().filter(|arena| arena.get("allocator").and_then(Value::as_str) == Some(allocator));
    own.filter_map(|arena| arena.get("resident_bytes")?.as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocator_that_is_not_recognised_is_wrong() {
        let said = |allocator: &str| {
            let arena = |name: &str| format!("{{\"allocator\": \"{name}\", \"resident_bytes\": 9000000}}");
            Transcript::parse(&format!(
                "=== allocators/programs\npython3 7\nredis 8\n=== allocators/snapshot\n{{\"processes\": [\
                 {{\"pid\": 7, \"memory\": {{\"arenas\": [{}, {}]}}}},\
                 {{\"pid\": 8, \"memory\": {{\"arenas\": [{}]}}}}]}}\n",
                arena("glibc"),
                arena("cpython"),
                arena(allocator)
            ))
        };
        assert_eq!(measure(&said("jemalloc")).wrong, []);
        let wrong = measure(&said("unattributed")).wrong;
        assert_eq!(
            wrong.iter().map(|surprise| surprise.check.as_str()).collect::<Vec<_>>(),
            ["allocators.redis.jemalloc"]
        );
        assert_eq!(measure(&Transcript::default()).wrong.len(), 1);
    }
}
