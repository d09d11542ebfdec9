//! What a person with the same figures would say: a limit that a runtime does not know of, page cache that gives way.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use memtrace::{oom::cause::CauseKind, verdict::Confidence};

use super::{LONGEST, assert_parties, calm, judged};
use crate::{
    fixture::{cgroup::Cgroup, daemon::Place, eventually, memtrace, mib, program::Program, said},
    workload::folder,
};

/// The file that a command's name stands for.
fn found(command: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let places = std::env::split_paths(&path).map(|folder| folder.join(command));
    places.filter_map(|place| fs::canonicalize(place).ok()).next().expect("it is installed")
}

/// Reads a file whole. Page cache is charged to whoever reads it first: a program whose own text is charged to its group
/// has it taken away at the limit, reads it from the disk again and again, and may take minutes until it is killed.
fn cached(file: &Path) {
    io::copy(&mut fs::File::open(file).unwrap(), &mut io::sink()).unwrap();
}

/// What a JVM maps: the library, its archive of classes, its modules.
pub(super) fn cached_jvm() {
    let home = found("java").parent().unwrap().join("../lib");
    for file in ["modules", "server/libjvm.so", "server/classes.jsa"].map(|name| home.join(name)) {
        if file.exists() {
            cached(&file);
        }
    }
}

/// A JVM in this group, with an argument that bounds its heap. It says when it is ready.
fn jvm(group: &Cgroup, bound: &str) -> Program {
    let (directory, classes) = (group.directory(), folder());
    let java = format!("java {bound} -cp {} Workload", classes.display());
    let program = Program::shell(&format!("echo $$ > {directory}/cgroup.procs; exec {java}"));
    assert_eq!(program.line(), "ok ready");
    program
}

/// The advice is followed, too: with the heap that it names, the same load is not killed.
#[test]
fn a_heap_that_may_outgrow_its_limit() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    cached_jvm();
    let group = Cgroup::new().limit(mib(256));
    let mut program = jvm(&group, "-Xmx512m");
    program.say("grow 60");
    assert!(program.line().starts_with("ok "));
    eventually("the heap's figures were read", LONGEST, || {
        let snapshot = place.top();
        let row = snapshot.processes.iter().find(|row| row.pid == program.pid())?;
        let counters = &row.memory.as_ref()?.counters;
        counters.iter().flat_map(|of| &of.settings).find(|set| set.name == "MaxHeapSize").map(|_| ())
    });
    program.say("grow 400");
    let (record, cause) = judged(&place, program.pid(), CauseKind::Ceiling);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    assert_eq!(cause.confidence, Confidence::High);
    let start = "the Java heap may grow to 512.0 MiB (-Xmx512m), the limit is 256.0 MiB";
    assert!(cause.sentence.starts_with(start), "{}", cause.sentence);
    let advised = cause.remedies[0].setting.clone().expect("a setting");

    let kills = group.oom_kills();
    let mut advised = jvm(&group, &advised);
    advised.say("grow 400");
    // Java ends it with an error of its own, which names the place; the kernel does not.
    advised.lines();
    assert_eq!(group.oom_kills(), kills, "killed with the advised heap");
}

/// V8 does not look at the limit, once it was given a bound.
#[test]
fn a_node_heap_that_may_outgrow_its_limit() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    cached(&found("node"));
    let group = Cgroup::new().limit(mib(128));
    let code = "const kept = []; console.log('ok ready'); process.stdin.once('data', () => setInterval(() => { \
                for (let i = 0; i < 5000; i++) kept.push({ i, text: 'x' + i }); }, 20));";
    let directory = group.directory();
    let script =
        format!("echo $$ > {directory}/cgroup.procs; exec node --max-old-space-size=512 -e \"{code}\"");
    let mut program = Program::shell(&script);
    assert_eq!(program.line(), "ok ready");
    eventually("its bound was read", LONGEST, || {
        let snapshot = place.top();
        let row = snapshot.processes.iter().find(|row| row.pid == program.pid())?;
        let counters = &row.memory.as_ref()?.counters;
        counters.iter().flat_map(|of| &of.settings).find(|set| set.name == "--max-old-space-size").map(|_| ())
    });
    program.say("go");
    let (record, cause) = judged(&place, program.pid(), CauseKind::Ceiling);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    let start = "V8's heap may grow to 560.0 MiB (--max-old-space-size=512, and 48.0 MiB of young generation at \
                 most), the limit is 128.0 MiB";
    assert!(cause.sentence.starts_with(start), "{}", cause.sentence);
}

/// Whoever reads one report learns that it was not the first.
#[test]
fn a_kill_knows_which_one_of_its_workload_it_is() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(32));
    let (state, path) = (place.state(), group.path().to_owned());
    let shown = |id: &str| said(&memtrace(&["report", "--state-dir", state.to_str().unwrap(), "show", id]));
    for place_in_story in [None, Some("2nd"), Some("3rd")] {
        let mut program = Program::eat(&["cgroup", group.directory(), "touch", "8", "wait", "grow"]);
        program.ready();
        program.go_on();
        let report = shown(&place.record(program.pid()).id);
        match place_in_story {
            Some(number) => assert!(report.contains(&format!("{number} kill of {path} in ")), "{report}"),
            None => assert!(!report.contains(" kill of "), "{report}"),
        }
    }
}

/// Page cache is at the limit for long. It is not what the program needs, and gives way.
#[test]
fn a_burst_that_page_cache_gives_way_to() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, vec![1; 96 << 20]).unwrap();
    let (directory, eat) = (group.directory(), Program::eat_path());
    let copy = folder.path().join("copy");
    let script = format!(
        "echo $$ > {directory}/cgroup.procs; dd if={} of={} bs=1M conv=fsync 2> /dev/null; exec {eat} touch 4 wait grow",
        file.display(),
        copy.display()
    );
    let mut program = Program::shell(&script);
    program.ready();
    // The node may take page cache at any time, so it is read again until it is seen.
    let mut again = Program::shell(&format!(
        "echo $$ > {directory}/cgroup.procs; while read line; do cat {} {} | wc -c; done",
        copy.display(),
        file.display()
    ));
    calm(&place, &program, mib(4));
    eventually("its group is full of page cache", LONGEST, || {
        again.go_on();
        again.line();
        let snapshot = place.top();
        let row = snapshot.containers.iter().find(|row| row.cgroup == group.path())?;
        let cache = row.charge.as_ref().and_then(|charge| charge.file()).unwrap_or_default().0;
        (cache >= mib(32)).then_some(())
    });
    program.go_on();
    let (record, cause) = judged(&place, program.pid(), CauseKind::Burst);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    assert!(cause.evidence.iter().any(|fact| fact.what.starts_with("page cache")), "{cause:#?}");
}
