//! The disk of the state directory is full.

use std::fs;

use crate::{
    afterwards::{Held, health, it_is_well, nothing_is_left},
    fixture::{PATIENCE, cgroup::Cgroup, daemon::Place, disk::Disk, eventually, mib, program::Program},
};

/// Kills that find no room wait for it, and the next is as durable as ever.
#[test]
fn a_full_disk_delays_its_kills_and_loses_none() {
    let place = Place::new();
    let disk = Disk::at(place.state(), c"size=2m,mode=700");
    let daemon = place.start(&[]);
    it_is_well(&place);
    let held = Held::by(&daemon);
    let filler = disk.fill();
    let victims: Vec<u32> = (0..3)
        .map(|_| {
            let group = Cgroup::new().limit(mib(16));
            let mut victim = Program::eat(&["cgroup", group.directory(), "grow"]);
            victim.end();
            victim.pid()
        })
        .collect();
    eventually("they wait for the disk", PATIENCE, || {
        (daemon.tracer().kills_not_stored == victims.len() as u64).then_some(())
    });
    fs::remove_file(filler).unwrap();
    for victim in victims {
        place.record(victim);
    }
    eventually("it says that it is well again", PATIENCE, || health(&place).status.success().then_some(()));
    it_is_well(&place);
    nothing_is_left(&daemon, &held);
}
