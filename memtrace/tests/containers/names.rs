//! Names when daemons and runtimes come, go and hang.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use memtrace::{cgroup::hierarchy::Hierarchy, container::name::Name};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    fixture::{PATIENCE, daemon::Place, eventually, memtrace, mib, said},
    kills::{arguments, of, strings},
    runtime::Containerd,
};

/// How long the runtime hangs: three times as long as anybody waits for it, and with `MEMTRACE_TEST_LONG=1` a minute.
fn hangs() -> Duration {
    Duration::from_secs(if std::env::var_os("MEMTRACE_TEST_LONG").is_some() { 60 } else { 15 })
}

fn label(place: &Place, cgroup: &str) -> Option<String> {
    let rows = place.top().containers;
    rows.into_iter().find(|row| row.cgroup == cgroup)?.name.as_deref().and_then(Name::label)
}

#[test]
fn restarts_and_a_runtime_that_hangs_lose_no_name() {
    let mut containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let cgroup = {
        let pod = containerd.pod("/burstable", "cart-3", None);
        let script = "trap 'tail /dev/zero' USR1; while :; do sleep 1; done";
        let container = pod.run("redis", script, mib(48));
        let cgroup = container.cgroup.clone();
        // The pod is removed with the test's containerd, not here: this one is restarted in between.
        std::mem::forget(pod);
        cgroup
    };
    let daemon = place.start(&strings(&arguments));
    let named = |what: &str| {
        eventually(what, PATIENCE, || label(&place, &cgroup).filter(|label| label == "shop/cart-3/redis"));
    };
    named("the name of what was there before");
    drop(daemon);
    let daemon = place.start(&strings(&arguments));
    named("the name after the daemon's restart");
    containerd.restart();
    named("the name after the runtime's restart");
    // It hangs: what is known stays, snapshots come as before, nothing is lost, and
    // who is killed meanwhile has a name.
    containerd.signal(Signal::STOP);
    let (begin, mut last) = (Instant::now(), place.top().time);
    kill_process(first(&cgroup), Signal::USR1).unwrap();
    let killed = eventually("the kill is stored", PATIENCE, || of(&place, &cgroup).pop());
    assert_eq!(killed.circumstances.container.unwrap().label().as_deref(), Some("shop/cart-3/redis"));
    while begin.elapsed() < hangs() {
        named("the name while the runtime hangs");
        // One a second is made.
        let next = eventually("the next snapshot", PATIENCE, || {
            Some(place.top()).filter(|snapshot| snapshot.time > last)
        });
        last = next.time;
        // A busy process of the node over its own budget is no loss of the ingest's.
        let lost = next.tracer.unwrap().losses.into_iter().filter(|loss| loss.name != "throttled");
        assert_eq!(lost.collect::<Vec<_>>(), []);
    }
    containerd.signal(Signal::CONT);
    named("the name after that");
    let next = containerd.pod("/burstable", "cart-4", None);
    let container = next.run("web", "sleep 1000", mib(48));
    eventually("CRI's word on a new container", PATIENCE, || {
        let rows = place.top().containers;
        let name = rows.into_iter().find(|row| row.cgroup == container.cgroup)?.name?;
        // The bundle does not have it.
        (name.restart == Some(0)).then_some(())
    });
    drop(next);
    drop(daemon);
    containerd.end_all();
}

/// The process that all others of a container come from: its parent is none of them.
pub fn first(cgroup: &str) -> Pid {
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let members = hierarchy.directory(cgroup.as_bytes()).unwrap().join("cgroup.procs");
    let members = fs::read_to_string(members).unwrap();
    let parent = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| Some(line.strip_prefix("PPid:")?.trim().to_owned()))
    };
    // One that has ended meanwhile has no parent to be read.
    let is_first = |pid: &&str| parent(pid).is_some_and(|parent| members.lines().all(|pid| pid != parent));
    Pid::from_raw(members.lines().find(is_first).expect("it runs").parse().unwrap()).unwrap()
}

#[test]
fn every_output_takes_the_names_of_pods_and_containers_and_shows_them() {
    let containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let _daemon = place.start(&strings(&arguments));
    let pod = containerd.pod("/burstable", "cart-5", None);
    let container = pod.run("web", "tail /dev/zero; sleep 1000", mib(48));
    let (first, second) = (containerd.pod("", "twin-0", None), containerd.pod("", "twin-0", None));
    let twins = [&first, &second].map(|pod| pod.run("app", "sleep 1000", mib(48)));
    for twin in &twins {
        eventually("the twin's name", PATIENCE, || {
            label(&place, &twin.cgroup).filter(|l| l == "shop/twin-0/app")
        });
    }
    eventually("the kill is stored", PATIENCE, || of(&place, &container.cgroup).pop());
    let asked = |arguments: &[&str]| {
        let socket = place.socket();
        let output = memtrace(&[arguments, &["--socket", socket.to_str().unwrap()]].concat());
        (output.status.code(), said(&output))
    };
    let (code, text) = asked(&["top", "--once", "--by", "container"]);
    assert!(code == Some(0) && text.contains("shop/cart-5/web"), "{text}");
    let state = place.state();
    let state = ["--state-dir", state.to_str().unwrap()];
    for filter in [&["--container", "web"][..], &["--namespace", "shop", "--pod", "cart-5"]] {
        let output = memtrace(&[&["report"], &state[..], &["list"], filter].concat());
        assert!(said(&output).contains("shop/cart-5/web"), "{}", said(&output));
    }
    let output = memtrace(&[&["report"], &state[..], &["list", "--container", "app"]].concat());
    assert!(!said(&output).contains("twin-0"), "nobody died there: {}", said(&output));
    for target in ["shop/cart-5/web", "web", "cart-5", "shop/cart-5", &pod.uid, &container.id] {
        let (code, text) = asked(&["explain", target]);
        assert!(code == Some(0) && text.contains("shop/cart-5"), "{target}: {text}");
    }
    // Which of the two cannot be known: both are named, by what tells them apart.
    let (code, text) = asked(&["explain", "shop/twin-0/app"]);
    assert_eq!(code, Some(2), "{text}");
    for twin in &twins {
        assert!(text.contains(&twin.cgroup), "{text}");
        let (code, text) = asked(&["explain", &twin.id]);
        assert!(code == Some(0) && text.contains("shop/twin-0/app"), "{text}");
    }
}

#[test]
fn doctor_says_which_sources_work() {
    let containerd = Containerd::start();
    let root = containerd.root().to_str().unwrap();
    let output = memtrace(&["doctor", "--host-root", root]);
    let text = said(&output);
    let socket = containerd.socket();
    assert!(text.contains(&format!("ok    cri         {}: containerd names", socket.display())), "{text}");
    assert!(text.contains("ok    oci bundle"), "{text}");
}
