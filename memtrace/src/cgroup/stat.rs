//! A cgroup's charge by kind, read from its files.
//!
//! Input: a [`Hierarchy`] and a path. Output: [`Reading`]; a missing file or line gives `None`. Formats:
//! Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. One open directory and one buffer serve all files
//! of a reading, and a file is read up to the buffer's size, so that the cost of 2,000 cgroups is only that of the
//! system calls.
//!
//! v1 charges socket buffers separately (`memory.kmem.tcp.*`, not part of the usage), so `sock_bytes` is unknown there.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{charge::Charge, pressure};
use crate::{
    cgroup::hierarchy::{Hierarchy, Version},
    units::Bytes,
};

/// The longest file, `memory.stat` of v2, has about 3 KiB.
const BUFFER: usize = 16 << 10;

/// A reading of one cgroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Id of the cgroup that was read, because a path may be reused.
    pub cgroup_id: u64,
    /// By kind.
    pub charge: Charge,
}

/// Reads charges; keeps its buffer.
#[derive(Clone, Debug)]
pub struct Reader {
    buffer: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER] }
    }
}

impl Reader {
    /// Reads a cgroup; `None` when it is gone or not visible here.
    pub fn read(&mut self, hierarchy: &Hierarchy, path: &[u8]) -> Option<Reading> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(hierarchy.directory(path)?, flags, Mode::empty()).ok()?;
        let cgroup_id = rustix::fs::fstat(&directory).ok()?.st_ino;
        let mut charge = Charge::default();
        let mut files = Files { directory: directory.as_fd(), buffer: &mut self.buffer };
        match hierarchy.version {
            Version::V1 => v1(&mut files, &mut charge),
            Version::V2 => v2(&mut files, &mut charge),
        }
        charge.working_set_bytes = working_set(&charge);
        Some(Reading { cgroup_id, charge })
    }
}

/// The files of one cgroup.
struct Files<'a> {
    directory: BorrowedFd<'a>,
    buffer: &'a mut Vec<u8>,
}

impl Files<'_> {
    fn text(&mut self, name: &str) -> Option<&[u8]> {
        let file =
            rustix::fs::openat(self.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut length = 0;
        loop {
            let rest = self.buffer.get_mut(length..).filter(|rest| !rest.is_empty());
            let Some(rest) = rest else { break };
            match rustix::io::read(&file, rest).ok()? {
                0 => break,
                read => length += read,
            }
        }
        self.buffer.get(..length)
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        number(self.text(name)?.trim_ascii())
    }

    fn bytes(&mut self, name: &str) -> Option<Bytes> {
        self.number(name).map(Bytes)
    }
}

fn v1(files: &mut Files<'_>, charge: &mut Charge) {
    charge.usage_bytes = files.bytes("memory.usage_in_bytes");
    charge.peak_bytes = files.bytes("memory.max_usage_in_bytes");
    charge.kernel_bytes = files.bytes("memory.kmem.usage_in_bytes");
    charge.max_events = files.number("memory.failcnt");
    if let Some(text) = files.text("memory.oom_control") {
        charge.oom_kills = value(text, b"oom_kill");
    }
    if let Some(text) = files.text("memory.stat") {
        kinds(text, charge);
    }
}

fn v2(files: &mut Files<'_>, charge: &mut Charge) {
    charge.usage_bytes = files.bytes("memory.current");
    charge.peak_bytes = files.bytes("memory.peak");
    charge.swap_bytes = files.bytes("memory.swap.current");
    if let Some(text) = files.text("memory.stat") {
        kinds(text, charge);
    }
    // Limit hits are counted for the group itself, kills for the whole subtree.
    if let Some(text) = files.text("memory.events") {
        events(text, charge);
        charge.oom_kills = value(text, b"oom_kill");
    }
    if let Some(text) = files.text("memory.events.local") {
        events(text, charge);
    }
    if let Some(text) = files.text("memory.pressure") {
        (charge.pressure_some10, charge.pressure_full10) = pressure::parse(text);
    }
}

fn events(text: &[u8], charge: &mut Charge) {
    charge.max_events = value(text, b"max");
    charge.high_events = value(text, b"high");
    charge.oom_events = value(text, b"oom");
}

/// `anon 4096` (v2), `total_rss 4096` (v1). On v1 `rss` is anonymous memory only, and shared memory is in no file list.
fn kinds(text: &[u8], charge: &mut Charge) {
    for (key, value) in lines(text) {
        match key {
            // v1 prints the group's own count first, and then the one with descendants. Before 5.9 it was of all pages.
            b"workingset_refault_file" | b"total_workingset_refault_file" | b"workingset_refault" => {
                charge.file_refaults = Some(value);
            }
            key => {
                if let Some(field) = charge.by_kind(key) {
                    *field = Some(Bytes(value));
                }
            }
        }
    }
}

/// The working set of cAdvisor and the kubelet: usage minus inactive file pages, at least 0.
fn working_set(charge: &Charge) -> Option<Bytes> {
    Some(Bytes(charge.usage_bytes?.0.saturating_sub(charge.inactive_file_bytes?.0)))
}

fn value(text: &[u8], wanted: &[u8]) -> Option<u64> {
    lines(text).find(|(key, _)| *key == wanted).map(|(_, value)| value)
}

/// Parses `key value` lines; skips others.
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (key, rest) = line.split_at(space);
        Some((key, number(rest.trim_ascii())?))
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "stat_tests.rs"]
mod tests;
