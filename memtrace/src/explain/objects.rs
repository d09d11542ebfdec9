//! What fills the heaps of a target's processes, by type.
//!
//! An explanation and a reader -> the explanation with [`Filled`]. A process that has no runtime whose objects can be read
//! is told with the reason.

use jiff::{SignedDuration, Timestamp};

use super::{Explanation, Filled};
use crate::{
    allocator::{
        counters::Absent,
        objects::{Census, growth},
    },
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

/// Reads the same processes once more, which were there at this time (ns since boot), for the growth of each type.
pub fn fill_again(reader: &mut dyn Reader, explanation: &mut Explanation, began: u64) {
    again(reader, &mut explanation.objects, began);
}

fn again(reader: &mut dyn Reader, all: &mut [Filled], began: u64) {
    for filled in all {
        let (pid, comm) = (filled.pid, std::mem::take(&mut filled.comm));
        let is_there = reader.was_there(pid, began);
        let census = if is_there { reader.objects(pid) } else { Err(NotRead::Gone) };
        let again = self::filled(pid, comm, census, clock::ktime(), Timestamp::now());
        let old = std::mem::replace(filled, again);
        filled.heaps.iter_mut().for_each(|heap| growth::since(&old.heaps, heap));
        filled.before = old.time.filter(|_| !filled.heaps.is_empty());
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
            let why = "it contains no runtime whose objects can be read; so far only CPython's, HotSpot's and Go's can";
            (Some(at), heaps, absent(why.to_owned()))
        }
        Ok(Census { at, heaps, absent }) => (Some(at), heaps, absent),
        Err(why) => (None, Vec::new(), absent(why.to_string())),
    };
    let ago = |at: u64| SignedDuration::from_nanos(i64::try_from(now.saturating_sub(at)).unwrap_or(i64::MAX));
    let time = at.map(|at| time.checked_sub(ago(at)).unwrap_or(time));
    Filled { pid, comm, time, before: None, heaps, absent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        allocator::objects::{Objects, Row},
        model::{
            scan::Scan,
            walk::{self, Unwound},
        },
        reader::{job::Job, tmpfs::Tmpfs},
        symbols::Place,
        units::Bytes,
    };

    #[test]
    fn what_was_not_read_has_a_reason_and_no_instant() {
        let of = |census| filled(7, "x".to_owned(), census, 5_000_000_000, Timestamp::UNIX_EPOCH);
        let gone = of(Err(NotRead::Gone));
        assert_eq!((gone.time, gone.absent[0].reason.contains("gone")), (None, true));
        let other = of(Ok(Census { at: 4_000_000_000, ..Census::default() }));
        assert_eq!(other.time, Timestamp::from_second(-1).ok());
        assert!(other.absent[0].reason.contains("HotSpot"));
    }

    /// Sees one type, twice as large at each look.
    struct Growing(u64);

    impl Reader for Growing {
        fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
            Err(Box::new(job))
        }

        fn walk(&mut self, _: Vec<walk::Job>) -> Vec<Unwound> {
            Vec::new()
        }

        fn mounts(&mut self, _: u32) -> Result<Vec<Tmpfs>, NotRead> {
            Err(NotRead::Gone)
        }

        fn has_thread(&mut self, _: u32, _: &[&str]) -> Result<bool, NotRead> {
            Ok(false)
        }

        fn objects(&mut self, _: u32) -> Result<Census, NotRead> {
            self.0 *= 2;
            let row = Row { name: "a".to_owned(), bytes: Bytes(self.0), ..Row::default() };
            Ok(Census {
                heaps: vec![Objects { rows: vec![row], ..Objects::empty("cpython") }],
                at: clock::ktime(),
                ..Census::default()
            })
        }

        fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
            places.iter().map(|_| None).collect()
        }

        fn was_there(&self, pid: u32, at: u64) -> bool {
            (pid, at) == (7, 3)
        }

        fn rest(&mut self) {}
    }

    #[test]
    fn a_second_look_gives_growth_if_it_is_the_same_process() {
        let mut reader = Growing(50);
        let look = |reader: &mut Growing, pid| {
            filled(pid, "x".to_owned(), reader.objects(pid), clock::ktime(), Timestamp::now())
        };
        let mut all = [look(&mut reader, 7), look(&mut reader, 8)];
        again(&mut reader, &mut all, 3);
        let [same, other] = &all;
        assert_eq!(same.heaps[0].rows[0].growth.map(|growth| growth.bytes), Some(300));
        assert!(same.before.is_some_and(|before| Some(before) <= same.time) && same.comm == "x");
        assert_eq!((other.heaps.len(), other.before), (0, None));
        assert!(other.absent[0].reason.contains("gone"), "its pid was used again");
    }
}
