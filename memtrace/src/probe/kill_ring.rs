//! The ring buffer of kills: records are read at once, and consumed when they are on disk.
//!
//! A map -> the records in it. The position up to which a ring is consumed lies in the map, which outlives this process
//! if it is pinned. So the position must not pass a kill that is not on disk: when the daemon is killed, the next one
//! reads the ring from there. `RingBuf` of aya moves it on with each record.

mod held;
mod mapping;
mod ring;

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use aya::maps::MapData;
use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};

pub use self::held::Key;
use self::{
    mapping::Mapping,
    ring::{Found, Ring},
};

/// The reading end; there must be one for each ring.
#[derive(Debug)]
pub struct KillRing {
    map: MapData,
    ring: Arc<Ring>,
    /// Position of the next record to read.
    next: usize,
    /// Readable when a record has arrived since [`Self::awake`]. The map itself stays readable while a record is held.
    arrivals: OwnedFd,
}

/// Lets records go, from any thread.
#[derive(Clone, Debug)]
pub struct Releaser(Arc<Ring>);

/// The unread records of a ring.
#[derive(Debug, Default)]
pub struct Unread {
    /// The records, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Whether another one is being written.
    pub is_busy: bool,
}

impl KillRing {
    /// Opens a ring buffer map at the position up to which it is consumed.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn open(map: MapData) -> io::Result<Self> {
        let size = map.info().map_err(io::Error::other)?.max_entries() as usize;
        let page = rustix::param::page_size();
        let fd = map.fd().as_fd();
        // The kernel maps the data twice, one after the other; once is enough for a reader that copies.
        let ring = Ring::new(
            Mapping::new(fd, 0, page, true)?,
            Mapping::new(fd, page, page + size, false)?,
            page,
            size,
        )?;
        let arrivals = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&arrivals, fd, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        let next = ring.consumed();
        Ok(Self { map, ring: Arc::new(ring), next, arrivals })
    }

    /// The map.
    pub fn map(&self) -> &MapData {
        &self.map
    }

    /// A handle to release records.
    pub fn releaser(&self) -> Releaser {
        Releaser(Arc::clone(&self.ring))
    }

    /// Notes that the reader is awake: from now on only a new record makes the descriptor readable.
    pub fn awake(&self) {
        let mut event = [MaybeUninit::<Event>::uninit()];
        // An interrupted call leaves the descriptor readable, which costs one more look.
        let _ = epoll::wait(&self.arrivals, &mut event, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    }

    /// Reads the next record; false when there is none. If `take` returns a key, the record is held until it is released
    /// with it. At most half of the ring is held, then the oldest records are let go.
    pub fn read(&mut self, take: impl FnOnce(&[u8]) -> Option<Key>) -> bool {
        loop {
            match self.ring.at(self.next) {
                Found::Nothing | Found::Busy => return false,
                Found::Discarded(end) => {
                    self.next = end;
                    self.ring.hold(end, None);
                }
                Found::Record(record, end) => {
                    self.next = end;
                    self.ring.hold(end, take(&record));
                    return true;
                }
            }
        }
    }

    /// The records that are not read yet. They stay unread, and nothing is consumed.
    pub fn unread(&self) -> Unread {
        let (mut next, mut unread) = (self.next, Unread::default());
        loop {
            match self.ring.at(next) {
                Found::Nothing => return unread,
                Found::Busy => return Unread { is_busy: true, ..unread },
                Found::Discarded(end) => next = end,
                Found::Record(record, end) => {
                    next = end;
                    unread.records.push(record);
                }
            }
        }
    }
}

impl AsFd for KillRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrivals.as_fd()
    }
}

impl Releaser {
    /// Lets these records go: they are on disk, or need not be.
    pub fn release(&self, keys: impl IntoIterator<Item = Key>) {
        self.0.release(keys);
    }
}
