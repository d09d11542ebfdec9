//! Kills that no daemon saw: recorded from the kernel log, once.

use memtrace::{
    oom::record::{OomRecord, circumstances::Source},
    units::Bytes,
};
use rustix::process::Signal;

use crate::fixture::{
    cgroup::Cgroup,
    daemon::Place,
    kernel_log::{KernelLog, Killed},
    mib,
    program::Program,
};

fn kill(group: &Cgroup) -> u32 {
    let mut program = Program::eat(&["cgroup", group.directory(), "adj", "321", "uid", "4711", "grow"]);
    program.end();
    program.pid()
}

fn of(place: &Place, tid: u32) -> Vec<OomRecord> {
    place.records().into_iter().filter(|record| record.victim.task.tid == tid).collect()
}

fn assert_says_what_the_log_says(record: &OomRecord, killed: &Killed) {
    let (task, memory) = (&record.victim.task, &record.victim.memory);
    let kib = |kib| Some(Bytes::from_kib(kib));
    assert_eq!((task.tid, task.uid), (killed.tid, Some(killed.uid)));
    assert_eq!(task.oom_score_adj, Some(killed.oom_score_adj));
    assert_eq!(
        [memory.virtual_bytes, memory.anon_bytes, memory.file_bytes, memory.shmem_bytes],
        [kib(killed.total_vm), kib(killed.anon), kib(killed.file), kib(killed.shmem)]
    );
    assert_eq!(memory.page_table_bytes, kib(killed.pgtables));
    let Some(report) = &killed.report else { return };
    let owner = record.limit_owner.as_ref().expect("the report names the owner");
    assert_eq!(owner.path.as_ref(), Some(&report.oom_memcg));
    assert_eq!((owner.limit_bytes, owner.usage_bytes), (kib(report.limit), kib(report.usage)));
    assert_eq!(owner.fail_count, Some(report.fail_count));
    assert_eq!(task.cgroup.as_ref(), Some(&report.task_memcg));
    assert!(record.trigger.is_victim, "{:?}", record.trigger);
}

#[test]
fn a_kill_while_the_daemon_is_down_is_recorded_once_it_is_up() {
    let place = Place::new();
    let group = Cgroup::new().limit(mib(32));
    let mut log = KernelLog::from_now();
    let mut daemon = place.start_with_backfill();
    let seen = kill(&group);
    assert_eq!(place.record(seen).circumstances.source, Source::Live);
    daemon.signal(Signal::KILL);
    daemon.end();
    drop(daemon);

    let missed = kill(&group);
    let daemon = place.start_with_backfill();
    let record = place.record(missed);
    assert_eq!(record.circumstances.source, Source::KernelLog);
    assert_says_what_the_log_says(&record, &log.kill(missed).0);
    drop(daemon);

    // Once more: what is recorded is known again.
    let last = kill(&group);
    let _daemon = place.start_with_backfill();
    assert_eq!(place.record(last).circumstances.source, Source::KernelLog);
    let sources = |tid| of(&place, tid).iter().map(|record| record.circumstances.source).collect::<Vec<_>>();
    assert_eq!(sources(seen), [Source::Live]);
    assert_eq!(sources(missed), [Source::KernelLog]);
    assert_eq!(sources(last), [Source::KernelLog]);
}
