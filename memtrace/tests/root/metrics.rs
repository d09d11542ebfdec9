//! The series of a container that is killed, goes, and comes back: what they count is what the kernel counts.

use std::collections::BTreeMap;

use crate::fixture::{
    PATIENCE, cgroup::Cgroup, daemon::Place, eventually, http::Client, mib, program::Program,
};

/// Series by name and labels.
fn series(place: &Place) -> BTreeMap<String, f64> {
    let answer = Client::unix(&place.socket()).get("/metrics", "").unwrap();
    assert_eq!(answer.status, 200);
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn of(path: &str, family: &str, more: &str) -> String {
    format!("{family}{{namespace=\"\",pod=\"\",container=\"{path}\"{more}}}")
}

#[test]
fn a_count_of_kills_outlives_the_container_and_the_daemon() {
    let place = Place::new();
    let parent = Cgroup::new();
    let scope = ",scope=\"memcg\"";
    {
        let _daemon = place.start(&[]);
        for kills in 1..=2_u64 {
            let group = parent.child("again").limit(mib(16));
            let path = group.path().to_owned();
            let holder = Program::eat(&["cgroup", group.directory(), "touch", "2", "wait"]);
            holder.ready();
            let name = of(&path, "memtrace_oom_kills_total", scope);
            let limit = of(&path, "memtrace_container_effective_limit_bytes", "");
            let alive = eventually("the container has series", PATIENCE, || {
                Some(series(&place)).filter(|series| series.contains_key(&limit))
            });
            assert_eq!(alive.get(&limit), Some(&(mib(16) as f64)));
            assert_eq!(alive.get(&name), Some(&((kills - 1) as f64)), "it does not begin anew");
            let mut victim = Program::eat(&["cgroup", group.directory(), "grow"]);
            victim.end();
            assert_eq!(group.oom_kills(), 1, "the kernel's own count of this one");
            eventually("the kill is counted", PATIENCE, || {
                (series(&place).get(&name) == Some(&(kills as f64))).then_some(())
            });
            drop(holder);
            drop(victim);
            group.remove();
            let gone = eventually("its gauges go with it", PATIENCE, || {
                Some(series(&place)).filter(|series| !series.contains_key(&limit))
            });
            assert_eq!(gone.get(&name), Some(&(kills as f64)), "its count stays");
        }
    }
    let _daemon = place.start(&[]);
    let after = series(&place);
    let path = format!("{}/again", parent.path());
    assert_eq!(after.get(&of(&path, "memtrace_oom_kills_total", scope)), Some(&2.0));
    assert_eq!(after["memtrace_node_oom_kills_total"], 2.0);
    assert_eq!(after["memtrace_store_kills"], 2.0);
}

#[test]
fn the_daemon_says_what_it_takes_itself() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let found = series(&place);
    let rss = found["process_resident_memory_bytes"];
    assert!((rss / daemon.rss_bytes() as f64 - 1.0).abs() < 0.2, "{rss} B against {} B", daemon.rss_bytes());
    assert!(found["process_cpu_seconds_total"] > 0.0);
    // The two rings are 4 MiB and more.
    assert!(found["memtrace_bpf_map_bytes"] > mib(4) as f64, "{}", found["memtrace_bpf_map_bytes"]);
    assert!(found["memtrace_store_bytes"] > 4096.0);
    assert_eq!(found["memtrace_hook_attached{fact=\"oom_kill\"}"], 1.0);
    assert_eq!(found["memtrace_losses_total{kind=\"kills_full\"}"], 0.0);
    let tracer = daemon.tracer();
    let attached: f64 =
        found.iter().filter(|(name, _)| name.starts_with("memtrace_hook_attached")).map(|(_, on)| on).sum();
    assert_eq!(attached, tracer.hooks_attached as f64);
}
