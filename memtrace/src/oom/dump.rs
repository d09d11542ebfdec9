//! The kernel's own report of an OOM (mm/oom_kill.c `dump_header`): printed before the victim is marked, so its figures
//! of memory and processes are from before the kill.
//!
//! Input: lines of the kernel log. Output: [`Dump`]s. Pure: `daemon` reads /dev/kmsg. The kernel prints at most ten
//! reports in five seconds, so a kill may have none.

use crate::{cgroup::charge::Charge, text::escape, units::Bytes};

/// The most processes kept of one report; the kernel prints all of them.
const MOST_TASKS: usize = 4096;

/// A report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dump {
    /// Allocation flags in hexadecimal.
    pub gfp_mask: Option<String>,
    /// log2 of the number of pages requested.
    pub order: Option<i32>,
    /// `none`, `cpuset`, `memory_policy`, `memcg`.
    pub constraint: Option<String>,
    /// Path of the group at its limit, escaped.
    pub owner: Option<String>,
    /// The charge of that group.
    pub charge: Charge,
    /// Whether `charge` was read from this report.
    pub has_charge: bool,
    /// The processes that could have been killed.
    pub tasks: Vec<DumpTask>,
    /// Process id of the victim.
    pub victim: Option<u32>,
}

/// A process of the report's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpTask {
    /// Process id.
    pub tgid: u32,
    /// Name, escaped.
    pub name: String,
    /// Real user id.
    pub uid: Option<u32>,
    /// Resident pages.
    pub rss: Option<u64>,
    /// The anonymous ones; not in the reports of old kernels.
    pub rss_anon: Option<u64>,
    /// OOM score adjustment.
    pub oom_score_adj: Option<i32>,
}

/// Parses lines one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    dump: Dump,
    columns: Vec<String>,
    in_stats: bool,
}

impl Reader {
    /// Takes a line of the log without its prefix. Returns the report if it ends with this line.
    pub fn take(&mut self, line: &str) -> Option<Dump> {
        // Kernels before 6.6 print the statistics as one record.
        let mut done = None;
        for line in line.split("\\x0a") {
            done = self.line(line.trim_end()).or(done);
        }
        done
    }

    fn line(&mut self, line: &str) -> Option<Dump> {
        if let Some((_, rest)) = line.split_once(" invoked oom-killer: ") {
            *self = Self::default();
            self.dump.gfp_mask = value(rest, "gfp_mask=").map(|mask| until(mask, '(').to_owned());
            self.dump.order = value(rest, "order=").and_then(|order| order.parse().ok());
        } else if let Some(rest) = line.strip_prefix("memory: usage ") {
            self.dump.charge.usage_bytes = kib(rest);
        } else if let Some(rest) = line.strip_prefix("kmem: usage ") {
            // Only v1 prints this line, with its separate kernel memory.
            self.dump.charge.kernel_bytes = kib(rest);
        } else if line.starts_with("Memory cgroup stats for ") {
            (self.in_stats, self.dump.has_charge) = (true, true);
        } else if line.starts_with("Tasks state ") {
            self.in_stats = false;
        } else if let Some(rest) = line.strip_prefix("[  pid  ]") {
            // [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
            self.columns = rest.split_whitespace().map(str::to_owned).collect();
        } else if let Some(rest) = line.strip_prefix("oom-kill:") {
            // oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,
            // task_memcg=/a/b,task=eat,pid=42,uid=0
            let constraint = value(rest, "constraint=CONSTRAINT_").map(str::to_lowercase);
            self.dump.constraint = constraint;
            self.dump.owner = value(rest, "oom_memcg=").map(|path| escape(path.as_bytes()));
            self.dump.victim = rest.rsplit_once(",pid=").and_then(|(_, pid)| until(pid, ',').parse().ok());
            return Some(std::mem::take(self).dump);
        } else if line.starts_with('[') && !self.columns.is_empty() {
            self.task(line);
        } else if self.in_stats {
            self.stat(line);
        }
        None
    }

    fn task(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once(']') else { return };
        let mut task = DumpTask::default();
        let mut rest = rest.trim_start();
        for column in &self.columns {
            // The name is the last column and may contain spaces.
            let (text, after) = match column.as_str() {
                "name" => (rest, ""),
                _ => rest.split_once(' ').unwrap_or((rest, "")),
            };
            rest = after.trim_start();
            match column.as_str() {
                "tgid" => task.tgid = text.parse().unwrap_or_default(),
                "uid" => task.uid = text.parse().ok(),
                "rss" => task.rss = text.parse().ok(),
                "rss_anon" => task.rss_anon = text.parse().ok(),
                "oom_score_adj" => task.oom_score_adj = text.parse().ok(),
                "name" => task.name = escape(text.as_bytes()),
                _ => {}
            }
        }
        if task.tgid != 0 && self.dump.tasks.len() < MOST_TASKS {
            self.dump.tasks.push(task);
        }
    }

    /// `anon 4096` (v2), `total_rss 4096` (v1, which prints the group's own first).
    fn stat(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(' ') else { return };
        let Ok(bytes) = value.trim().parse().map(Bytes) else { return };
        if let Some(field) = self.dump.charge.by_kind(key.as_bytes()) {
            *field = Some(bytes);
        }
    }
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(key)?;
    Some(until(after, ','))
}

fn until(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or(text)
}

fn kib(text: &str) -> Option<Bytes> {
    until(text, 'k').parse().ok().map(Bytes::from_kib)
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Dump, Reader};

    fn read(text: &str) -> Vec<Dump> {
        let mut reader = Reader::default();
        text.lines().filter_map(|line| reader.take(line)).collect()
    }

    /// Printed by Linux 6.18 (cgroup v1), shortened.
    const V1: &str = "eat invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=1000
Call Trace:
 dump_header+0x43/0x1c0
memory: usage 8192kB, limit 8192kB, failcnt 19
memory+swap: usage 8192kB, limit 9007199254740988kB, failcnt 0
kmem: usage 100kB, limit 9007199254740988kB, failcnt 0
Memory cgroup stats for /t/g7:
cache 0
rss 77
total_cache 0
total_rss 8286208
total_shmem 0
total_inactive_file 4096
total_active_file 0
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[   5255]     0  5255      619      296        0      296         0    40960        0             0 eat
[   5288]     0  5288     2667     2114     2016       98         0    57344        0          1000 a b
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/t/g7,task_memcg=/t/g7,task=eat,pid=5288,uid=0";

    #[test]
    fn a_report_says_what_was_charged_and_to_whom() {
        let dumps = read(V1);
        let [dump] = dumps.as_slice() else { panic!("{dumps:?}") };
        assert_eq!((dump.gfp_mask.as_deref(), dump.order), (Some("0xcc0"), Some(0)));
        assert_eq!((dump.constraint.as_deref(), dump.owner.as_deref()), (Some("memcg"), Some("/t/g7")));
        assert_eq!(dump.victim, Some(5288));
        assert_eq!(dump.charge.usage_bytes, Some(Bytes(8192 << 10)));
        assert_eq!(dump.charge.anon_bytes, Some(Bytes(8286208)), "descendants included");
        assert_eq!(dump.charge.kernel_bytes, Some(Bytes(100 << 10)));
        assert_eq!(dump.charge.remainder(), Some(Bytes(0)), "the kernel's own sum closes");
        let [first, second] = dump.tasks.as_slice() else { panic!("{:?}", dump.tasks) };
        assert_eq!((first.tgid, first.rss, first.oom_score_adj), (5255, Some(296), Some(0)));
        assert_eq!((second.name.as_str(), second.rss), ("a b", Some(2114)));
        assert_eq!((first.rss_anon, second.rss_anon), (Some(0), Some(2016)));
    }

    /// Printed by 6.1: one record, and other columns.
    #[test]
    fn older_kernels_print_the_statistics_as_one_record() {
        let text = "x invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=2, oom_score_adj=0
memory: usage 65536kB, limit 65536kB, failcnt 40
Memory cgroup stats for /a/b:
anon 100\\x0afile 300\\x0akernel 30\\x0ashmem 200\\x0asock 5
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    251]     0   251    12000    11000    53248        0             0 bigB
oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a/b/c,task=bigB,pid=251,uid=0";
        let dumps = read(text);
        assert_eq!(dumps[0].charge.kernel(), Some(Bytes(35)));
        assert_eq!(dumps[0].charge.shmem_bytes, Some(Bytes(200)));
        assert_eq!((dumps[0].owner.as_deref(), dumps[0].constraint.as_deref()), (None, Some("none")));
        assert_eq!((dumps[0].tasks[0].rss, dumps[0].tasks[0].rss_anon), (Some(11000), None));
    }

    #[test]
    fn other_lines_and_halves_are_passed_over() {
        assert!(read("hello\n[ 1 ] x\nTasks state (memory values in pages):\nanon 5").is_empty());
        let half = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/t,task=a,b,pid=9,uid=0";
        assert_eq!(read(half)[0].victim, Some(9), "a name may hold anything");
    }
}
