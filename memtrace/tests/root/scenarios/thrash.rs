//! A container whose files do not fit beside its memory: it is not killed, it is slow, and its usage does not say why.

use std::fs;

use memtrace::{
    explain::Explanation,
    verdict::{Finding, Kind},
};

use super::LONGEST;
use crate::fixture::{cgroup::Cgroup, daemon::Place, eventually, memtrace, mib, program::Program, said};

/// What is said of a group, with what was seen before.
fn thrashes(place: &Place, group: &Cgroup) -> Option<Finding> {
    let socket = place.socket();
    let output =
        memtrace(&["explain", group.path(), "--socket", socket.to_str().unwrap(), "--output", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    let page: Explanation = serde_json::from_slice(&output.stdout).unwrap();
    page.findings.into_iter().find(|finding| finding.kind == Kind::Thrash)
}

/// Pages of files that the kernel counted as read again in this group.
fn refaults(group: &Cgroup) -> u64 {
    let text = fs::read_to_string(format!("{}/memory.stat", group.directory())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("workingset_refault_file "));
    line.expect("this kernel counts them").parse().unwrap()
}

#[test]
fn files_that_do_not_fit_beside_the_memory_are_read_again_and_again() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, vec![1; 48 << 20]).unwrap();
    // Only what is clean is given up and read again.
    fs::File::open(&file).unwrap().sync_all().unwrap();
    let program = Program::eat(&["cgroup", group.directory(), "touch", "40", "wait"]);
    program.ready();
    let directory = group.directory();
    let reader = format!(
        "echo $$ > {directory}/cgroup.procs; read line; echo ready; while :; do cat {} | wc -c > /dev/null; done",
        file.display()
    );
    // Read in the group, and by nobody before: cache is charged to whoever reads first.
    rustix::fs::fadvise(fs::File::open(&file).unwrap(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let mut reader = Program::shell(&reader);
    assert!(thrashes(&place, &group).is_none(), "nothing was read yet");
    reader.go_on();
    reader.ready();
    let finding = eventually("it is told", LONGEST, || thrashes(&place, &group));
    println!("{}\n{:#?}", finding.sentence, finding.evidence);
    assert!(refaults(&group) >= mib(1) / 4096, "the kernel counts them too: {}", refaults(&group));
    assert!(finding.sentence.contains("below the limit of 64.0 MiB"), "{}", finding.sentence);
    assert_eq!(group.oom_kills(), 0, "it is slow, and nobody is killed");
    // It gets the room that it needs.
    let group = group.limit(mib(160));
    eventually("it is over", LONGEST, || thrashes(&place, &group).is_none().then_some(()));
}
