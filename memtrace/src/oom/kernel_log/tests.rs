//! Logs as kernels print them, and arbitrary mixtures of their lines.

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};

use super::{Boot, LoggedKill, Reader, Trace, parse, record};
use crate::{
    oom::record::{ScopeKind, circumstances::Source},
    units::{Bytes, Grade},
};

fn boot() -> Boot {
    Boot {
        id: "0f6c3b0e-7c39-4a52-9d0a-5d1f2d7f6a11".to_owned(),
        now: (Timestamp::from_second(1_780_000_000).unwrap(), 100_000_000_000),
        suspended_ns: 0,
        cgroup_version: Some(1),
        page_size: 4096,
    }
}

fn read<'a>(records: impl IntoIterator<Item = &'a str>) -> Vec<LoggedKill> {
    let mut reader = Reader::default();
    let mut kills: Vec<LoggedKill> =
        records.into_iter().filter_map(|line| reader.take(line.as_bytes())).collect();
    kills.extend(reader.flush());
    kills
}

/// One kill as Linux 6.18 printed it, shortened, with arbitrary bytes as a name.
fn report(tid: u32, microseconds: u64) -> Vec<String> {
    let text = [
        "eat\\x0a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=1000".to_owned(),
        format!("CPU: 1 UID: 0 PID: {tid} Comm: eat\\x0a Not tainted 6.18.5 #1"),
        " dump_header+0x43/0x1c0".to_owned(),
        "memory: usage 8192kB, limit 8192kB, failcnt 19".to_owned(),
        "memory+swap: usage 8192kB, limit 9007199254740988kB, failcnt 0".to_owned(),
        "Memory cgroup stats for /t/g7:".to_owned(),
        "total_rss 8286208".to_owned(),
        "Tasks state (memory values in pages):".to_owned(),
        "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name".to_owned(),
        format!("[ {tid:>5}]     0 {tid:>5}     2667     2114    57344        0          1000 eat"),
        format!(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/t/g7,\
             task_memcg=/t/g7/a,task=eat,pid={tid},uid=0"
        ),
        killed(tid),
    ];
    let lines = text.iter().zip(0..).map(|(text, n)| format!("6,{n},{},-;{text}\n", microseconds + n));
    lines.collect()
}

fn killed(tid: u32) -> String {
    format!(
        "Memory cgroup out of memory: Killed process {tid} (eat\\x0a) total-vm:10668kB, anon-rss:8064kB, \
         file-rss:392kB, shmem-rss:0kB, UID:4711 pgtables:56kB oom_score_adj:1000"
    )
}

#[test]
fn a_kill_has_what_its_lines_say() {
    let lines = report(5288, 90_000_000);
    let kills = read(lines.iter().map(String::as_str));
    let [kill] = kills.as_slice() else { panic!("{kills:?}") };
    let record = record(kill, &boot());
    assert_eq!(record.circumstances.source, Source::KernelLog);
    assert_eq!((record.victim.task.tid, record.victim.task.pid), (5288, Some(5288)));
    assert_eq!(record.victim.task.comm, "eat\\u{a}");
    assert_eq!((record.victim.task.uid, record.victim.task.oom_score_adj), (Some(4711), Some(1000)));
    assert_eq!(record.victim.memory.anon_bytes, Some(Bytes::from_kib(8064)));
    assert_eq!(record.victim.memory.page_table_bytes, Some(Bytes::from_kib(56)));
    assert_eq!(record.victim.task.cgroup.as_deref(), Some("/t/g7/a"));
    assert_eq!((record.scope.kind, record.scope.grade), (ScopeKind::Memcg, Grade::Read));
    let owner = record.limit_owner.unwrap();
    assert_eq!((owner.path.as_deref(), owner.fail_count), (Some("/t/g7"), Some(19)));
    assert_eq!(owner.limit_bytes, Some(Bytes::from_kib(8192)));
    assert!(record.trigger.is_victim);
    assert_eq!(record.circumstances.composition.unwrap().charge.anon_bytes, Some(Bytes(8_286_208)));
    assert_eq!(record.circumstances.processes[0].rss_bytes, Some(Bytes(2114 * 4096)));
    // Ten seconds before "now".
    assert_eq!(record.time.as_second(), 1_780_000_000 - 10);
    assert_eq!(record.id, "20260528T202630Z-5288-0f6c");
}

#[test]
fn a_kill_without_a_report_is_a_kill_and_has_no_older_ones() {
    let mut lines = report(7, 1);
    lines.push(format!("6,99,5000000,-;{}", killed(8)));
    let kills = read(lines.iter().map(String::as_str));
    assert_eq!(kills.iter().map(|kill| kill.tid).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(kills[1].report, None);
    let record = record(&kills[1], &boot());
    assert_eq!((record.limit_owner, record.victim.task.pid), (None, None));
    assert!(record.trigger.task.is_unknown() && !record.trigger.is_victim);
    assert_eq!(record.scope.kind, ScopeKind::Memcg);
}

#[test]
fn a_group_that_is_killed_as_one_is_one_kill() {
    let mut lines = report(7, 1);
    lines.push("6,20,100,-;Tasks in /t/g7 are going to be killed due to memory.oom.group set".to_owned());
    lines.extend([8, 9].map(|tid| format!("6,{tid},200,-;{}", killed(tid))));
    lines.push(format!("6,30,9000000,-;{}", killed(10)));
    let kills = read(lines.iter().map(String::as_str));
    assert_eq!(kills.iter().map(|kill| kill.tid).collect::<Vec<_>>(), [7, 10]);
    let others: Vec<u32> = kills[0].others.iter().map(|kill| kill.tid).collect();
    assert_eq!(others, [8, 9]);
    assert_eq!(Trace::of(&record(&kills[0], &boot())).tids, [7, 8, 9]);
}

#[test]
fn programs_cannot_forge_a_kill() {
    // 12: facility 1, which the kernel sets for lines that programs write.
    assert_eq!(parse(format!("12,1,1,-;{}", killed(1)).as_bytes()), None);
    assert!(read(["6,1,1,-;Killed process 1 (x) invoked oom-killer: gfp_mask=0x0"]).is_empty());
    assert!(read(["", ";", "6,1,1", "6,x,1,-;a", "6,1,1,-;Killed process", "\u{0}"]).is_empty());
}

#[test]
fn a_kill_is_known_again_by_its_thread_and_its_time() {
    let trace = Trace { id: "a".to_owned(), tids: vec![7], ktime_ns: 100_000_000_000 };
    assert_eq!(trace.distance(7, 100_000_000_500), Some(500));
    assert!(trace.distance(7, 96_000_000_000).is_some(), "the clocks run apart");
    assert_eq!(trace.distance(7, 200_000_000_000), None, "the id was used again");
    assert_eq!(trace.distance(8, 100_000_000_000), None);
}

#[derive(Clone, Debug)]
enum Event {
    Full(u32),
    Short(u32),
    Noise(String),
}

fn events() -> impl Strategy<Value = Vec<(Event, Vec<bool>)>> {
    let noise = prop_oneof!["[ -~]{0,60}", Just("oom_reaper: reaped process 9 (eat)".to_owned())];
    let event = prop_oneof![
        (1..60_000_u32).prop_map(Event::Full),
        (1..60_000_u32).prop_map(Event::Short),
        noise.prop_map(Event::Noise),
    ];
    // The lines of a report that are lost or followed by other lines.
    vec((event, vec(any::<bool>(), 24)), 0..30)
}

proptest! {
    /// Every line "Killed process" gives one kill, whatever is lost or comes in between; a report never belongs to
    /// another kill.
    #[test]
    fn every_kill_is_found_once(events in events()) {
        let (mut lines, mut expected) = (Vec::new(), Vec::new());
        for (number, (event, choices)) in events.iter().enumerate() {
            let at = number as u64 * 10_000_000;
            match event {
                Event::Full(tid) => {
                    let all = report(*tid, at);
                    let last = all.len() - 1;
                    for (index, line) in all.into_iter().enumerate() {
                        if index == last || choices[index] {
                            lines.push(line);
                        }
                        if choices[index + 12] {
                            lines.push(format!("4,1,{at},-;eth0: link is up\n SUBSYSTEM=net"));
                        }
                    }
                    expected.push(*tid);
                }
                Event::Short(tid) => {
                    lines.push(format!("6,1,{at},-;{}", killed(*tid)));
                    expected.push(*tid);
                }
                Event::Noise(text) => lines.push(format!("6,1,{at},-;{text}")),
            }
        }
        let kills = read(lines.iter().map(String::as_str));
        prop_assert_eq!(kills.iter().map(|kill| kill.tid).collect::<Vec<_>>(), expected);
        for kill in kills {
            if let Some(report) = &kill.report {
                prop_assert!(report.dump.victim.is_none_or(|victim| victim == kill.tid));
            }
            record(&kill, &boot());
        }
    }

    #[test]
    fn any_bytes_are_read(records in vec(vec(any::<u8>(), 0..200), 0..20)) {
        let mut reader = Reader::default();
        for bytes in &records {
            reader.take(bytes);
        }
    }
}
