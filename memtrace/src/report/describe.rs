//! Phrases for the parts of a record: tasks, cgroups, figures, times.
//!
//! Fields of a record -> phrases. `None` becomes "unknown", never a number.

use jiff::Timestamp;

use crate::{
    oom::record::{AddressSpaceUse, LimitOwner, MemcgLevel, TaskFacts},
    units::Bytes,
};

/// The text of an unknown figure.
pub(super) const UNKNOWN: &str = "unknown";

/// A process by name and pid, and the thread when it is not the leader.
pub(super) fn who(task: &TaskFacts) -> String {
    let TaskFacts { pid, tid, comm, process_comm, .. } = task;
    let thread = name(comm);
    if task.is_unknown() {
        return if comm.is_empty() {
            "an unknown task".to_owned()
        } else {
            format!("{thread} (pid unknown)")
        };
    }
    match (pid, process_comm.as_deref().map(name)) {
        (Some(pid), process) if pid == tid => format!("{} (pid {pid})", process.unwrap_or(thread)),
        (Some(pid), Some(process)) => format!("{process} (pid {pid}, thread {thread} with tid {tid})"),
        (Some(pid), None) => format!("process {pid} (thread {thread} with tid {tid})"),
        (None, Some(process)) => format!("{process} (pid unknown, thread {thread} with tid {tid})"),
        (None, None) => format!("thread {thread} (tid {tid}, process unknown)"),
    }
}

/// A name may be empty: any program can set its own.
pub(super) fn name(comm: &str) -> &str {
    if comm.is_empty() { "(no name)" } else { comm }
}

/// A cgroup by path, or by id.
pub(super) fn cgroup(path: Option<&str>, id: Option<u64>) -> String {
    match (path, id) {
        (Some(path), _) => path.to_owned(),
        (None, Some(id)) => format!("unknown path, cgroup id {id}"),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// A figure, or "unknown".
pub(super) fn figure<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

/// Bytes in the kernel log's unit.
pub(super) fn kilobytes(bytes: Bytes) -> String {
    format!("{} kB", bytes.0 / 1024)
}

/// Share in whole percent; `None` if the whole is 0.
pub(super) fn percent(part: Bytes, whole: Bytes) -> Option<u128> {
    (u128::from(part.0) * 200 + u128::from(whole.0)).checked_div(2 * u128::from(whole.0))
}

/// Anonymous, file and shared memory with their names, as far as known.
pub(super) fn resident(memory: &AddressSpaceUse) -> [(&'static str, Option<Bytes>); 3] {
    let AddressSpaceUse { anon_bytes, file_bytes, shmem_bytes, .. } = memory;
    [("anonymous memory", *anon_bytes), ("file pages", *file_bytes), ("shared memory", *shmem_bytes)]
}

/// The sum of the parts; `None` unless all are known.
pub(super) fn sum(parts: impl IntoIterator<Item = Option<Bytes>>) -> Option<Bytes> {
    parts.into_iter().try_fold(Bytes(0), |sum, part| Some(Bytes(sum.0.saturating_add(part?.0))))
}

/// Whether this level of the chain is the cgroup whose limit was hit.
pub(super) fn is_owner(level: &MemcgLevel, owner: &LimitOwner) -> bool {
    match (level.cgroup_id, owner.cgroup_id) {
        (Some(level), Some(owner)) => level == owner,
        _ => level.path.is_some() && level.path == owner.path,
    }
}

/// A point in time, to the millisecond.
pub(super) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// The time between two times in its two largest units; `None` when `to` is not later.
pub(super) fn age(from: Timestamp, to: Timestamp) -> Option<String> {
    let milliseconds = (to.as_nanosecond() - from.as_nanosecond()) / 1_000_000;
    if milliseconds < 0 {
        return None;
    }
    if milliseconds < 1000 {
        return Some(format!("{milliseconds} ms"));
    }
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    Some(match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    })
}

/// A duration in its two largest units.
pub(super) fn span(seconds: f64) -> String {
    let nanoseconds = (seconds.abs() * 1e9).min(1e18) as i64;
    let end = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    age(Timestamp::UNIX_EPOCH, end).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// A change in bytes, with its sign.
pub(super) fn change(bytes: i64) -> String {
    match bytes {
        0 => "0 B".to_owned(),
        1.. => format!("+{}", Bytes(bytes.unsigned_abs())),
        _ => format!("-{}", Bytes(bytes.unsigned_abs())),
    }
}

/// A change in bytes per second, with its sign.
pub(super) fn rate(bytes_per_second: f64) -> String {
    change(bytes_per_second.round() as i64)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{age, percent};
    use crate::units::Bytes;

    #[test]
    fn an_age_has_two_units() {
        let after =
            |seconds: i64| age(Timestamp::UNIX_EPOCH, Timestamp::new(seconds, 200_000_000).unwrap()).unwrap();
        assert_eq!(
            [3, 200, 4_324, 200_000].map(after),
            ["3.2 s", "3 min 20 s", "1 h 12 min", "2 d 7 h"].map(str::to_owned)
        );
        assert_eq!(age(Timestamp::MAX, Timestamp::MIN), None);
    }

    #[test]
    fn percent_rounds_and_has_no_share_of_nothing() {
        assert_eq!(percent(Bytes(995), Bytes(1000)), Some(100));
        assert_eq!(percent(Bytes(994), Bytes(1000)), Some(99));
        assert_eq!(percent(Bytes(u64::MAX), Bytes(u64::MAX)), Some(100));
        assert_eq!(percent(Bytes(1), Bytes(0)), None);
    }
}
