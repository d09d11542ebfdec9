//! Reads the ring buffers: waits, copies records out, decodes, orders.
//!
//! Input: the maps of `probe::attach`. Output: batches of events. Never blocks longer than the given timeout, and never
//! stops at a bad record: it counts the record and reads the next one. Records of kills stay in their ring until they are
//! released.

use std::{os::fd::AsFd, time::Duration};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use bytes::{Bytes, BytesMut};
use memtrace_common::counter::Counter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    decode::{Event, KillEvent, SpaceEvent, decode},
    loss::{Loss, ReaderLosses, losses},
    order::{Reorder, WINDOW},
    stack::{self, Copies, StackCopy},
};
use crate::probe::kill_ring::{Key, KillRing};

/// The most records of one ring in a batch, so that a flood in one ring cannot delay the others.
const BATCH: usize = 16 * 1024;
/// Bytes that are allocated at a time for records.
const CHUNK: usize = 256 << 10;

/// The ring buffers.
pub struct Rings {
    /// Address-space, fault, task and cgroup events.
    pub stream: RingBuf<MapData>,
    /// OOM kills.
    pub kills: KillRing,
    /// Signals that end processes.
    pub signals: RingBuf<MapData>,
    /// Copies of user stacks.
    pub stacks: RingBuf<MapData>,
}

/// The reading end of the ring buffers.
pub struct Reader {
    rings: Rings,
    counters: PerCpuArray<MapData, u64>,
    buffer: BytesMut,
    order: Reorder,
    copies: Copies,
    undecodable: u64,
    /// Kills that did not fit into the rings of earlier daemons.
    not_fitting: u64,
    events: u64,
    wakeups: u64,
}

impl Reader {
    /// A reader of these maps.
    pub fn new(rings: Rings, counters: PerCpuArray<MapData, u64>) -> Self {
        Self {
            rings,
            counters,
            buffer: BytesMut::new(),
            order: Reorder::default(),
            copies: Copies::default(),
            undecodable: 0,
            not_fitting: 0,
            events: 0,
            wakeups: 0,
        }
    }

    /// Counts what earlier daemons lost: kills that did not fit into their rings, and records that cannot be read.
    #[must_use]
    pub fn after(mut self, not_fitting: u64, unreadable: u64) -> Self {
        (self.not_fitting, self.undecodable) = (not_fitting, unreadable);
        self
    }

    /// Lets the record of a kill go that nobody stores.
    pub fn release(&self, kill: Key) {
        self.rings.kills.releaser().release([kill]);
    }

    /// Waits until there is something to read or the timeout expires. Signals end the wait early.
    pub fn wait(&mut self, timeout: Duration) {
        // Events in the reorder window must not wait for the next record.
        let timeout =
            if self.order.is_waiting() { timeout.min(Duration::from_nanos(WINDOW)) } else { timeout };
        let Rings { stream, kills, signals, stacks: _ } = &self.rings;
        let mut fds = [kills.as_fd(), signals.as_fd(), stream.as_fd()]
            .map(|ring| PollFd::from_borrowed_fd(ring, PollFlags::IN));
        let timeout = Timespec::try_from(timeout).ok();
        // An interrupted wait counts as an early wakeup.
        let ready = poll(&mut fds, timeout.as_ref());
        self.wakeups += u64::from(!matches!(ready, Ok(0)));
    }

    /// Hands every event that is due at `now` (since boot) to `apply`, oldest first, faults with the copy of their stack if
    /// there is one. Returns true when more can be read immediately.
    pub fn read(&mut self, now: impl Fn() -> u64, mut apply: impl FnMut(Event, Option<StackCopy>)) -> bool {
        // Take the time before reading the rings: later events may be in the records of one ring and not yet in
        // another's.
        let now = now();
        // The stream first, because events that led to a kill must be applied before it.
        let Rings { stream, signals, .. } = &mut self.rings;
        let [behind, behind_signals] = [stream, signals].map(|ring| {
            drain(ring, &mut self.buffer, |record| {
                take(&record, &mut self.order, &mut self.undecodable).map(|(ktime, _)| ktime)
            })
        });
        let behind = [behind, behind_signals, self.drain_kills()];
        // After the stream, because a copy is sent before its fault.
        let _ = drain(&mut self.rings.stacks, &mut self.buffer, |record| {
            match stack::decode(&record) {
                Some(copy) => self.copies.put(copy),
                None => self.undecodable += 1,
            }
            None
        });
        // A ring that was not emptied still holds events from the time of the last one read.
        let due = behind.into_iter().flatten().fold(now, u64::min);
        while let Some(event) = self.order.pop(due) {
            self.events += 1;
            let copy = match &event {
                Event::Space(SpaceEvent::Fault(fault)) => self.copies.of(fault),
                _ => None,
            };
            apply(event, copy);
        }
        self.copies.forget(now);
        behind.iter().any(Option::is_some)
    }

    /// Reads up to [`BATCH`] kills. Returns the time of the last one if the limit was reached.
    fn drain_kills(&mut self) -> Option<u64> {
        let Self { rings: Rings { kills, .. }, order, undecodable, .. } = self;
        kills.awake();
        let mut last = 0;
        for _ in 0..BATCH {
            let is_read = kills.read(|record| {
                let (ktime, kill) = take(record, order, undecodable)?;
                last = ktime;
                kill
            });
            if !is_read {
                return None;
            }
        }
        Some(last)
    }

    /// Hands over all remaining events at the end, regardless of their time.
    pub fn finish(&mut self, mut apply: impl FnMut(Event, Option<StackCopy>)) {
        while self.read(|| u64::MAX, &mut apply) {}
    }

    /// Events handed over so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Waits so far that ended before their time.
    pub fn wakeups(&self) -> u64 {
        self.wakeups
    }

    /// The losses so far.
    pub fn losses(&self) -> Vec<Loss> {
        let kernel: Vec<u64> = (0..Counter::COUNT as u32)
            .map(|index| {
                let earlier = if index == Counter::KillsFull as u32 { self.not_fitting } else { 0 };
                self.counters.get(&index, 0).map_or(0, |values| values.iter().sum::<u64>()) + earlier
            })
            .collect();
        losses(&kernel, &ReaderLosses { undecodable: self.undecodable, late: self.order.late() })
    }
}

/// Copies up to [`BATCH`] records out of a ring. Returns the time of the last event if the limit was reached.
fn drain(
    ring: &mut RingBuf<MapData>,
    buffer: &mut BytesMut,
    mut sink: impl FnMut(Bytes) -> Option<u64>,
) -> Option<u64> {
    let mut last = 0;
    for _ in 0..BATCH {
        let item = ring.next()?;
        if buffer.capacity() < item.len() {
            buffer.reserve(CHUNK.max(item.len()));
        }
        buffer.extend_from_slice(&item);
        drop(item);
        last = sink(buffer.split().freeze()).unwrap_or(last);
    }
    Some(last)
}

/// Adds an event to the reorder buffer. Returns its time, and the key of a kill.
fn take(record: &[u8], order: &mut Reorder, undecodable: &mut u64) -> Option<(u64, Option<Key>)> {
    match decode(record) {
        Ok(event) => {
            let ktime = event.header().ktime;
            let kill = match &event {
                Event::Kill(KillEvent::OomKill(kill)) => Some(Key::of(kill)),
                _ => None,
            };
            order.push(event);
            Some((ktime, kill))
        }
        Err(error) => {
            *undecodable += 1;
            tracing::warn!(%error, "dropped an invalid record");
            None
        }
    }
}
