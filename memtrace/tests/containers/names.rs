//! Names when daemons and runtimes come, go and hang.

use std::time::{Duration, Instant};

use memtrace::container::name::Name;
use rustix::process::Signal;

use crate::{
    fixture::{PATIENCE, daemon::Place, eventually, memtrace, mib, said},
    kills::{arguments, strings},
    runtime::Containerd,
};

fn label(place: &Place, cgroup: &str) -> Option<String> {
    let rows = place.top().containers;
    rows.into_iter().find(|row| row.cgroup == cgroup)?.name.as_ref().and_then(Name::label)
}

#[test]
fn restarts_and_a_runtime_that_hangs_lose_no_name() {
    let mut containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let cgroup = {
        let pod = containerd.pod("/burstable", "cart-3", None);
        let container = pod.run("redis", "sleep 1000", mib(48));
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
    // It hangs: what is known stays, and snapshots come as before.
    containerd.signal(Signal::STOP);
    let (begin, mut last) = (Instant::now(), place.top().time);
    while begin.elapsed() < Duration::from_secs(12) {
        named("the name while the runtime hangs");
        let next = eventually("the next snapshot", Duration::from_secs(3), || {
            Some(place.top().time).filter(|time| *time > last)
        });
        last = next;
    }
    containerd.signal(Signal::CONT);
    named("the name after that");
    drop(daemon);
    containerd.end_all();
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
