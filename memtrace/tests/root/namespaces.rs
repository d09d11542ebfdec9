//! Namespaces of a container: in a nested pid namespace the daemon refuses to start, in a cgroup namespace it says what is
//! hidden.

use std::{fs, path::Path, process::Command};

use memtrace::{api::doctor::Diagnosis, cgroup::hierarchy::Hierarchy};

use crate::fixture::{
    binary,
    daemon::{Place, is_gone, run},
    said,
};

/// A command line, run by `unshare` with these options.
fn unshared(options: &[&str], command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(options).arg(command.get_program()).args(command.get_args()).env_remove("MEMTRACE_LOG");
    unshare
}

/// With a /proc of its own, as docker, kind and k3d have it, and with the one of the node.
#[test]
fn a_nested_pid_namespace_is_refused_with_the_remedy() {
    for (options, why) in [
        (
            &["--pid", "--fork", "--kill-child", "--mount-proc"][..],
            "the kernel's process ids mean other processes",
        ),
        (&["--pid", "--fork", "--kill-child"][..], "the process ids in cgroup.procs differ"),
    ] {
        let place = Place::new();
        let output = run(&mut unshared(options, &place.command(&["--no-backfill"])));
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for part in [why, "`hostPID: true`", "`--pid=host`"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(is_gone(&place.socket()), "it serves nothing");
        assert!(place.records().is_empty());
    }
}

#[test]
fn doctor_says_the_same() {
    let mut doctor = Command::new(binary());
    doctor.args(["doctor", "-o", "json"]);
    let output = run(&mut unshared(&["--pid", "--fork", "--kill-child", "--mount-proc"], &doctor));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let diagnosis: Diagnosis = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!diagnosis.works);
    assert!(diagnosis.failure.is_some_and(|why| why.contains("hostPID")));
}

/// The memory controller is mounted again in a cgroup namespace, as in a container. Processes are moved into a cgroup
/// first, which becomes the namespace's root.
#[test]
fn a_cgroup_namespace_that_hides_the_node_is_told() {
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let group = crate::fixture::cgroup::Cgroup::new();
    let (kind, options) = match hierarchy.version_number() {
        1 => ("cgroup", "-o memory"),
        _ => ("cgroup2", ""),
    };
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec unshare --cgroup --mount sh -ec \
         'umount --lazy {mount}; mount -t {kind} {options} none {mount}; exec \"$@\"' sh \"$@\"",
        group.directory(),
        mount = hierarchy.mount.display(),
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(binary()).args(["doctor", "-o", "json"]);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", said(&output));
    let diagnosis: Diagnosis = serde_json::from_slice(&output.stdout).unwrap();
    let why = diagnosis.hidden_cgroups.expect("most cgroups are hidden");
    assert!(why.contains("cgroup namespace"), "{why}");
    // And not where nothing is hidden.
    let output = run(Command::new(binary()).args(["doctor", "-o", "json"]));
    let diagnosis: Diagnosis = serde_json::from_slice(&output.stdout).unwrap();
    let is_whole = fs::read_dir(&hierarchy.mount).is_ok() && diagnosis.hidden_cgroups.is_none();
    assert!(is_whole, "{:?}", diagnosis.hidden_cgroups);
}
