//! What fills the heaps of a target's processes, by type.
//!
//! An explanation and a reader -> the explanation with [`Filled`]. A process that has no runtime whose objects can be read
//! is told with the reason.

use jiff::{SignedDuration, Timestamp};

use super::{Explanation, Filled};
use crate::{
    allocator::{counters::Absent, objects::Census},
    clock,
    reader::{NotRead, Reader},
};

/// The most processes that are read, the largest first.
const MOST_READ: usize = 4;
/// In place of the name of a runtime.
const PROCESS: &str = "objects";

/// Reads the objects of the largest processes.
pub fn fill(reader: &mut dyn Reader, explanation: &mut Explanation) {
    let members = explanation.processes.iter().take(MOST_READ);
    let read = members.map(|member| {
        let (census, time) = (reader.objects(member.pid), Timestamp::now());
        filled(member.pid, member.comm.clone(), census, clock::ktime(), time)
    });
    explanation.objects = read.collect();
    let more = explanation.processes.len().saturating_sub(MOST_READ);
    if more > 0 {
        explanation.notes.push(format!(
            "objects: {more} more processes were not read; explain one by its pid to see its heap"
        ));
    }
}

/// Why nothing is read.
pub fn none(explanation: &mut Explanation, reason: &str) {
    explanation.notes.push(format!("objects: not read, {reason}"));
}

fn filled(pid: u32, comm: String, census: Result<Census, NotRead>, now: u64, time: Timestamp) -> Filled {
    let absent = |reason: String| vec![Absent { allocator: PROCESS.to_owned(), reason }];
    let (at, heaps, absent) = match census {
        Ok(Census { at, heaps, absent: reasons }) if heaps.is_empty() && reasons.is_empty() => {
            let why =
                "it contains no runtime whose objects can be read; so far only CPython's and HotSpot's can";
            (Some(at), heaps, absent(why.to_owned()))
        }
        Ok(Census { at, heaps, absent }) => (Some(at), heaps, absent),
        Err(why) => (None, Vec::new(), absent(why.to_string())),
    };
    let ago = |at: u64| SignedDuration::from_nanos(i64::try_from(now.saturating_sub(at)).unwrap_or(i64::MAX));
    let time = at.map(|at| time.checked_sub(ago(at)).unwrap_or(time));
    Filled { pid, comm, time, heaps, absent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_has_a_reason_and_no_instant() {
        let of = |census| filled(7, "x".to_owned(), census, 5_000_000_000, Timestamp::UNIX_EPOCH);
        let gone = of(Err(NotRead::Gone));
        assert_eq!((gone.time, gone.absent[0].reason.contains("gone")), (None, true));
        let other = of(Ok(Census { at: 4_000_000_000, ..Census::default() }));
        assert_eq!(other.time, Timestamp::from_second(-1).ok());
        assert!(other.absent[0].reason.contains("HotSpot"));
    }
}
