//! Kills in pods: who died, where, by whose limit, and what the runtime says.

use memtrace::oom::record::OomRecord;

use crate::{
    fixture::{PATIENCE, daemon::Place, eventually, http::Client, mib},
    runtime::{Container, Containerd, Pod},
};

/// Reads an endless line: `tail` keeps all of it.
pub const EAT: &str = "tail /dev/zero";

/// A place whose daemon looks for runtimes where this containerd is.
pub fn arguments(containerd: &Containerd) -> Vec<String> {
    vec!["--host-root".to_owned(), containerd.root().display().to_string()]
}

pub fn strings(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The records of kills in a container.
pub fn of(place: &Place, cgroup: &str) -> Vec<OomRecord> {
    let is_in = |record: &OomRecord| record.victim.task.cgroup.as_deref() == Some(cgroup);
    place.records().into_iter().filter(is_in).collect()
}

fn one(place: &Place, container: &Container<'_>) -> OomRecord {
    eventually("the kill is stored", PATIENCE, || of(place, &container.cgroup).pop())
}

pub fn is_named(record: &OomRecord, pod: &Pod<'_>, pod_name: &str, container: &Container<'_>, name: &str) {
    let found = record.circumstances.container.as_ref().expect("the container has a name");
    assert_eq!(found.namespace.as_deref(), Some("shop"));
    assert_eq!(found.pod.as_deref(), Some(pod_name));
    assert_eq!(found.pod_uid.as_deref(), Some(pod.uid.as_str()));
    assert_eq!(found.container.as_deref(), Some(name));
    assert_eq!(found.container_id.as_deref(), Some(container.id.as_str()));
    assert_eq!(found.image.as_deref(), Some("docker.io/local/busybox:1"));
}

#[test]
fn a_container_killed_at_its_own_limit_has_all_its_names_and_the_runtimes_word() {
    let containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let _daemon = place.start(&strings(&arguments));
    let pod = containerd.pod("/burstable", "cart-0", None);
    let container = pod.run("redis", EAT, mib(48));
    let status = container.ended();
    let record = one(&place, &container);
    is_named(&record, &pod, "cart-0", &container, "redis");
    let owner = record.limit_owner.as_ref().unwrap();
    assert_eq!(owner.path.as_deref(), Some(container.cgroup.as_str()));
    assert_eq!(owner.limit_bytes.unwrap().0, mib(48));
    assert_eq!(record.circumstances.limit_owner_name, record.circumstances.container);
    let outcome = eventually("the runtime's word", PATIENCE, || {
        one(&place, &container).circumstances.outcome.filter(|outcome| outcome.runtime_exit_code.is_some())
    });
    assert_eq!(outcome.runtime_exit_code, Some(status.exit_code));
    assert_eq!(outcome.runtime_reason, Some(String::from_utf8(status.reason).unwrap()));
}

#[test]
fn a_pods_limit_is_the_pods_and_the_trigger_stays_in_its_own_container() {
    let containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let _daemon = place.start(&strings(&arguments));
    let pod = containerd.pod("", "cart-1", Some(mib(96)));
    // The big one holds what it has read; then the small one asks for more and more, and the pod runs out.
    let big = pod.run("big", "(head -c 60000000 /dev/zero; sleep 1000) | tail", mib(90));
    eventually("the big one is big", PATIENCE, || (big.usage() > 60_000_000).then_some(()));
    let small = pod.run("small", EAT, mib(90));
    let record = eventually("a kill by the pod's limit", PATIENCE, || {
        of(&place, &big.cgroup).into_iter().find(|record| {
            record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref()) == Some(pod.cgroup.as_str())
        })
    });
    let owner = record.limit_owner.as_ref().unwrap();
    assert_eq!((owner.cgroup_id, owner.limit_bytes.unwrap().0), (Some(pod.cgroup_id()), mib(96)));
    let owner_name = record.circumstances.limit_owner_name.as_ref().unwrap();
    assert_eq!((owner_name.label().as_deref(), &owner_name.container), (Some("shop/cart-1"), &None));
    is_named(&record, &pod, "cart-1", &big, "big");
    assert_eq!(record.trigger.task.cgroup.as_deref(), Some(small.cgroup.as_str()));
    let trigger = record.circumstances.trigger_container.as_ref().unwrap();
    assert_eq!(trigger.label().as_deref(), Some("shop/cart-1/small"));
}

#[test]
fn a_child_killed_while_pid_1_lives_is_one_record_and_one_entry_that_stands_over_restarts() {
    let containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let daemon = place.start(&strings(&arguments));
    let pod = containerd.pod("/besteffort", "cart-2", None);
    // The subshell dies; the first process waits on.
    let container = pod.run("web", "tail /dev/zero & wait; sleep 1000", mib(48));
    one(&place, &container);
    let kills = |cgroup: &str| {
        let rows = place.top().containers;
        rows.into_iter().find(|row| row.cgroup == cgroup).map(|row| row.member_kills)
    };
    eventually("the entry", PATIENCE, || kills(&container.cgroup).filter(|kills| *kills == 1));
    assert_eq!(of(&place, &container.cgroup).len(), 1);
    assert_ne!(container.status().unwrap().state, 2, "the runtime sees nothing");
    drop(daemon);
    let _daemon = place.start(&strings(&arguments));
    assert_eq!(kills(&container.cgroup), Some(1));
    drop(pod);
    eventually("the container is gone", PATIENCE, || kills(&container.cgroup).is_none().then_some(()));
    let metrics = Client::unix(&place.socket()).get("/metrics", "").unwrap().body;
    let count = "memtrace_member_oom_kills_total{namespace=\"shop\",pod=\"cart-2\",container=\"web\"} 1\n";
    assert!(metrics.contains(count), "its count stays: {metrics}");
}
