//! Containers that are killed a moment after they began.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use memtrace::{
    ingest::decode::{Event, KillEvent, TaskEvent},
    oom::record::OomRecord,
    probe::support::Without,
};

use crate::{
    fixture::{PATIENCE, daemon::Place, eventually, mib, tracer::Tracer},
    kills::{arguments, is_named, strings},
    runtime::{Container, Containerd},
};

/// The life of a container here: from the instant at which its program is what the kernel runs in it (`sched_process_exec`
/// of its first process, which was runc until then) to the instant at which the kernel has chosen it to die.
/// On a busy machine some live longer: they count too, and how many that are is told.
const MOMENT: RangeInclusive<Duration> = Duration::from_millis(30)..=Duration::from_millis(100);
const COUNT: usize = 100;
/// Eating its limit takes a program some milliseconds only.
const SCRIPT: &str = "sleep 0.03; exec tail /dev/zero";

/// What the kernel tells this process itself, by a tracer of its own.
#[derive(Default)]
struct Seen {
    /// When a process became a shell, by its id.
    shells: HashMap<u32, u64>,
    /// When a container's program began and was chosen, by the container's id, which is its cgroup's name.
    lives: HashMap<String, (u64, u64)>,
}

impl Seen {
    fn take(&mut self, event: Event) {
        match event {
            Event::Task(TaskEvent::Exec(exec)) if exec.task.leader_comm.starts_with(b"sh\0") => {
                self.shells.insert(exec.task.tgid, exec.header.ktime);
            }
            Event::Kill(KillEvent::OomKill(kill)) => {
                let group = &kill.chain[0];
                let name = String::from_utf8_lossy(&group.name[..group.name_len as usize]).into_owned();
                if let Some(began) = self.shells.get(&kill.victim.tgid) {
                    self.lives.insert(name, (*began, kill.header.ktime));
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_hundred_containers_that_live_for_a_moment_are_named() {
    let containerd = Containerd::start();
    let place = Place::new();
    let arguments = arguments(&containerd);
    let _daemon = place.start(&strings(&arguments));
    let mut tracer = Tracer::start(Without::default());
    let mut seen = Seen::default();
    let pod = containerd.pod("/burstable", "job-0", None);
    let mut containers: Vec<(Container<'_>, Duration, u64)> = Vec::new();
    let of_a_moment = |all: &[(Container<'_>, Duration, u64)]| {
        all.iter().filter(|(_, life, _)| MOMENT.contains(life)).count()
    };
    while containers.len() < COUNT {
        let container = pod.run(&format!("job-{}", containers.len()), SCRIPT, mib(16));
        let (began, chosen) = eventually("the kernel's choice", PATIENCE, || {
            tracer.pump(|event| seen.take(event));
            seen.lives.get(&container.id).copied()
        });
        containers.push((container, Duration::from_nanos(chosen - began), chosen));
    }
    let records: HashMap<String, OomRecord> = eventually("all kills are stored", PATIENCE, || {
        let of = |record: OomRecord| Some((record.victim.task.cgroup.clone()?, record));
        let records: HashMap<_, _> = place.records().into_iter().filter_map(of).collect();
        containers.iter().all(|(container, ..)| records.contains_key(&container.cgroup)).then_some(records)
    });
    for (n, (container, ..)) in containers.iter().enumerate() {
        let record = &records[&container.cgroup];
        is_named(record, &pod, "job-0", container, &format!("job-{n}"));
        // Both see the same mark of the kernel, one right after the other: none is nearer than its own.
        let off = |(_, (_, _, chosen)): &(usize, &(_, _, u64))| record.ktime_ns.abs_diff(*chosen);
        let nearest = containers.iter().enumerate().min_by_key(off).map(|(nearest, _)| nearest);
        assert_eq!(nearest, Some(n), "another kill's time");
    }
    println!("{} of {} lived for a moment", of_a_moment(&containers), containers.len());
    println!("from program to kill: {}", shown(&containers, |(_, life, _)| *life));
    // What a runtime does around it is not the container's life.
    println!(
        "from runc's process to kill: {}",
        shown(&containers, |(container, ..)| {
            let record = &records[&container.cgroup];
            let began = record.victim.task.started.unwrap();
            record.time.duration_since(began).try_into().unwrap_or_default()
        })
    );
    println!("as the runtime has it: {}", shown(&containers, |(container, ..)| container.lifetime()));
}

fn shown<T>(all: &[T], of: impl Fn(&T) -> Duration) -> String {
    let mut lives: Vec<Duration> = all.iter().map(of).collect();
    lives.sort();
    let at = |percent: usize| lives[(lives.len() - 1) * percent / 100];
    format!(
        "{:.1?} to {:.1?}; a tenth below {:.1?}, half {:.1?}, nine tenths {:.1?}",
        at(0),
        at(100),
        at(10),
        at(50),
        at(90)
    )
}
