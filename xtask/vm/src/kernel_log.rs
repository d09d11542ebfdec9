//! The kernel's own words about OOM kills.
//!
//! Lines of dmesg -> kills, each with the report before it. Must not guess what a line does not say.

/// A "Killed process" line, and the report that it belongs to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kill {
    pub(crate) tid: u32,
    pub(crate) comm: String,
    /// Sizes in kB.
    pub(crate) total_vm: u64,
    pub(crate) anon: u64,
    pub(crate) file: u64,
    pub(crate) shmem: u64,
    pub(crate) uid: u32,
    pub(crate) oom_score_adj: i32,
    /// `None` for the further victims of a group.
    pub(crate) report: Option<Report>,
}

/// What the kernel says before a kill.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Report {
    /// Who asked for memory.
    pub(crate) asker: String,
    pub(crate) asker_tid: u32,
    /// `CONSTRAINT_MEMCG`, `CONSTRAINT_NONE`.
    pub(crate) constraint: String,
    /// The group at its limit; `None` for the node.
    pub(crate) oom_memcg: Option<String>,
    /// The victim's group.
    pub(crate) task_memcg: String,
    /// Of the group at its limit, in kB.
    pub(crate) limit: Option<u64>,
    pub(crate) usage: Option<u64>,
}

/// Every kill in the log. The kernel names the first victim of a group twice; here it is once.
pub(crate) fn kills(log: &str) -> Vec<Kill> {
    let mut kills: Vec<Kill> = Vec::new();
    let mut report = Report::default();
    for line in log.lines() {
        // [    6.508028] text
        let text = line.split_once("] ").map_or(line, |(_, text)| text);
        if let Some((asker, _)) = text.split_once(" invoked oom-killer: ") {
            report = Report { asker: asker.to_owned(), ..Report::default() };
        } else if text.starts_with("CPU: ") {
            report.asker_tid = after(text, " PID: ", ' ').unwrap_or_default();
        } else if let Some(numbers) = text.strip_prefix("memory: usage ") {
            report.limit = after(numbers, "limit ", 'k');
            report.usage = after(numbers, "", 'k');
        } else if let Some(fields) = text.strip_prefix("oom-kill:") {
            let field = |name: &str| {
                fields.split(',').filter_map(|field| field.split_once('=')).find(|(key, _)| *key == name)
            };
            let value = |name: &str| field(name).map(|(_, value)| value.to_owned());
            report.constraint = value("constraint").unwrap_or_default();
            report.oom_memcg = value("oom_memcg");
            report.task_memcg = value("task_memcg").unwrap_or_default();
        } else if let Some((_, killed)) = text.split_once("Killed process ") {
            let report = std::mem::take(&mut report);
            if let Some(kill) = kill(killed, report)
                && kills.iter().all(|known| known.tid != kill.tid)
            {
                kills.push(kill);
            }
        }
    }
    kills
}

/// Lines that say so, with those that name a victim again.
pub(crate) fn count(log: &str) -> usize {
    log.lines().filter(|line| line.contains("Killed process ")).count()
}

/// `113 (own) total-vm:50148kB, anon-rss:24492kB, file-rss:4kB, shmem-rss:648kB, UID:0 pgtables:84kB oom_score_adj:0`
fn kill(text: &str, report: Report) -> Option<Kill> {
    let (tid, rest) = text.split_once(" (")?;
    let (comm, numbers) = rest.rsplit_once(") total-vm:")?;
    Some(Kill {
        tid: tid.parse().ok()?,
        comm: comm.to_owned(),
        total_vm: after(numbers, "", 'k')?,
        anon: after(numbers, "anon-rss:", 'k')?,
        file: after(numbers, "file-rss:", 'k')?,
        shmem: after(numbers, "shmem-rss:", 'k')?,
        uid: after(numbers, "UID:", ' ')?,
        oom_score_adj: after(numbers, "oom_score_adj:", ' ')?,
        report: Some(report).filter(|report| !report.task_memcg.is_empty()),
    })
}

/// The number after the word and before the character.
fn after<T: std::str::FromStr>(text: &str, word: &str, end: char) -> Option<T> {
    text.split_once(word)?.1.split(end).next()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As 5.10 says it, and 7.3.
    pub(crate) const LOG: &str = "\
[    5.491361] own invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
[    5.491554] CPU: 0 PID: 113 Comm: own Not tainted 5.10.0-32-cloud-amd64 #1 Debian 5.10.223-1
[    5.492525] memory: usage 24576kB, limit 24576kB, failcnt 19
[    5.492537] swap: usage 0kB, limit 9007199254740988kB, failcnt 0
[    5.493076] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/own,task_memcg=/own,task=own,pid=113,uid=0
[    5.503653] Memory cgroup out of memory: Killed process 113 (own) total-vm:50148kB, anon-rss:24492kB, file-rss:4kB, shmem-rss:648kB, UID:0 pgtables:84kB oom_score_adj:0
[    7.811220] sysrq: Manual OOM execution
[    7.811760] kworker/0:2 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=-1, oom_score_adj=0
[    7.811811] CPU: 0 UID: 0 PID: 60 Comm: kworker/0:2 Not tainted 7.3.4+deb13-cloud-amd64 #1 PREEMPT(lazy)
[    7.819393] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=s,pid=146,uid=0
[    7.819951] Out of memory: Killed process 146 (s) total-vm:31724kB, anon-rss:30772kB, file-rss:4kB, shmem-rss:628kB, UID:0 pgtables:96kB oom_score_adj:900
";

    #[test]
    fn a_kill_has_its_figures_and_its_report() {
        let kills = kills(LOG);
        assert_eq!(kills.len(), 2);
        let own = &kills[0];
        assert_eq!((own.tid, own.comm.as_str(), own.anon, own.file, own.shmem), (113, "own", 24492, 4, 648));
        let report = own.report.as_ref().unwrap();
        assert_eq!((report.asker.as_str(), report.asker_tid), ("own", 113));
        assert_eq!((report.usage, report.limit), (Some(24576), Some(24576)));
        assert_eq!((report.oom_memcg.as_deref(), report.task_memcg.as_str()), (Some("/own"), "/own"));
    }

    #[test]
    fn a_kill_of_the_node_has_no_group() {
        let kills = kills(LOG);
        let report = kills[1].report.as_ref().unwrap();
        assert_eq!((report.asker_tid, report.oom_memcg.as_ref(), report.limit), (60, None, None));
        assert_eq!((report.constraint.as_str(), kills[1].oom_score_adj), ("CONSTRAINT_NONE", 900));
    }

    #[test]
    fn the_first_victim_of_a_group_is_named_twice_and_counted_once() {
        let line = |tid| {
            format!(
                "[1.0] Memory cgroup out of memory: Killed process {tid} (g) total-vm:8kB, anon-rss:4kB, \
                 file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n"
            )
        };
        let log = [line(7), line(7), line(8)].concat();
        assert_eq!(kills(&log).iter().map(|kill| kill.tid).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(count(&log), 3);
        assert_eq!(kills(&log)[0].report, None);
    }
}
