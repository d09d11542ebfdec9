//! The mappings of a process with what their page tables gave, in a bounded amount of memory.
//!
//! Lines of maps or smaps -> [`Listing`]. A list that would take more than its room is dropped as a whole, because half
//! of a process's mappings is wrong for all of it; the number of mappings is counted to the end.

use std::{fs::File, io::Read, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use super::{
    maps,
    procfs::{Error, Procfs},
    region::Region,
    residency::Measured,
    smaps::{self, Mapping, Usage},
    text_file::{self, Slow},
};
use crate::units::Bytes;

/// Mappings by address, and the measurement of each. Two lists of equal length, because most readers want the regions
/// alone and as a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    regions: Vec<Region>,
    measured: Vec<Option<Measured>>,
}

impl Mappings {
    /// Bytes of one mapping without its name, which is shared.
    pub const EACH: u64 = (size_of::<Region>() + size_of::<Option<Measured>>()) as u64;

    /// Adds a mapping; `None` for one that was not measured.
    pub fn push(&mut self, region: Region, measured: Option<Measured>) {
        if self.regions.len() == self.regions.capacity() {
            // Doubling would take twice the memory that is needed.
            let more = self.regions.len() / 4 + 16;
            self.regions.reserve_exact(more);
            self.measured.reserve_exact(more);
        }
        self.regions.push(region);
        self.measured.push(measured);
    }

    /// The regions.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The regions and the measurement of each; `None` when there is not one for each.
    pub fn of(regions: Vec<Region>, measured: Vec<Option<Measured>>) -> Option<Self> {
        (regions.len() == measured.len()).then_some(Self { regions, measured })
    }

    /// The measurements, one for each region.
    pub fn measurements(&self) -> &[Option<Measured>] {
        &self.measured
    }

    /// The regions that were measured, with the measurement.
    pub fn measured(&self) -> impl Iterator<Item = (&Region, &Measured)> {
        self.regions.iter().zip(&self.measured).filter_map(|(region, of)| Some((region, of.as_ref()?)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Gives up the measurements.
    pub fn into_regions(self) -> Vec<Region> {
        self.regions
    }
}

impl FromIterator<(Region, Option<Measured>)> for Mappings {
    fn from_iter<I: IntoIterator<Item = (Region, Option<Measured>)>>(all: I) -> Self {
        let mut mappings = Self::default();
        all.into_iter().for_each(|(region, measured)| mappings.push(region, measured));
        mappings
    }
}

/// The form of recordings: a list of [`Mapping`].
impl Serialize for Mappings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            region: &'a Region,
            usage: Usage,
        }
        let entry = |(region, measured): (_, &Option<Measured>)| Entry {
            usage: measured.map_or_else(Usage::default, |measured| measured.usage(region)),
            region,
        };
        serializer.collect_seq(self.regions.iter().zip(&self.measured).map(entry))
    }
}

impl<'de> Deserialize<'de> for Mappings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Mappings;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a list of mappings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Mappings, A::Error> {
                let mut mappings = Mappings::default();
                while let Some(Mapping { region, usage }) = seq.next_element()? {
                    let measured = Measured::of(&region, &usage);
                    mappings.push(region, measured);
                }
                Ok(mappings)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// The result of reading maps or smaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The mappings; empty when they do not fit.
    pub mappings: Mappings,
    /// Number of mappings in the file.
    pub count: u64,
    /// Memory that a list of all of them takes.
    pub needs: Bytes,
    /// Whether that is more than the room.
    pub is_over: bool,
    /// Malformed lines.
    pub malformed: u64,
}

/// A list of mappings that is being read.
#[derive(Debug)]
pub struct Lister<R = File> {
    source: Slow<R>,
    parser: Parser,
    room: Bytes,
    listing: Listing,
}

#[derive(Debug)]
enum Parser {
    Maps(maps::Parser),
    Smaps(Box<smaps::Parser>),
}

impl Lister {
    /// Begins to read `/proc/PID/maps`. The list may take `room` bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn maps(procfs: &Procfs, pid: u32, room: Bytes) -> Result<Self, Error> {
        let parser = Parser::Maps(maps::Parser::default());
        Ok(Self::new(text_file::open(procfs, pid, "maps")?, parser, room))
    }

    /// Begins to read `/proc/PID/smaps`. The list may take `room` bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn smaps(procfs: &Procfs, pid: u32, room: Bytes) -> Result<Self, Error> {
        let parser = Parser::Smaps(Box::default());
        Ok(Self::new(text_file::open(procfs, pid, "smaps")?, parser, room))
    }
}

impl<R: Read> Lister<R> {
    /// Begins to read the text of an smaps file.
    pub fn of_smaps(source: R, room: Bytes) -> Self {
        Self::new(Slow::new(source), Parser::Smaps(Box::default()), room)
    }

    fn new(source: Slow<R>, parser: Parser, room: Bytes) -> Self {
        Self { source, parser, room, listing: Listing::default() }
    }

    /// Continues reading. Returns the list at the end of the file, `None` when the time is up.
    ///
    /// # Errors
    /// [`Error::Gone`] when the process has ended, or the file cannot be read any more.
    pub fn read_on(&mut self, time: Duration) -> Result<Option<Listing>, Error> {
        let Self { source, parser, room, listing } = self;
        let outcome = source.read_on(time, |line| parser.line(line, *room, listing));
        let is_done = outcome.map_err(|source| text_file::error(source, "the list of mappings".into()))?;
        if !is_done {
            return Ok(None);
        }
        parser.finish(*room, listing);
        Ok(Some(std::mem::take(listing)))
    }
}

impl Parser {
    fn line(&mut self, line: &[u8], room: Bytes, listing: &mut Listing) {
        match self {
            Self::Maps(parser) => match parser.region(line) {
                Some(region) => listing.take(region, None, parser.names_take(), room),
                None => listing.malformed += 1,
            },
            Self::Smaps(parser) => {
                let names_take = parser.names_take();
                parser.line(line, |mapping| listing.take_measured(mapping, names_take, room));
            }
        }
    }

    fn finish(&mut self, room: Bytes, listing: &mut Listing) {
        if let Self::Smaps(parser) = self {
            let names_take = parser.names_take();
            listing.malformed = parser.malformed();
            parser.finish(|mapping| listing.take_measured(mapping, names_take, room));
        }
    }
}

impl Listing {
    fn take_measured(&mut self, Mapping { region, usage }: Mapping, names_take: Bytes, room: Bytes) {
        let measured = Measured::of(&region, &usage);
        self.take(region, measured, names_take, room);
    }

    fn take(&mut self, region: Region, measured: Option<Measured>, Bytes(names_take): Bytes, room: Bytes) {
        self.count += 1;
        self.needs = Bytes(self.count.saturating_mul(Mappings::EACH).saturating_add(names_take));
        if !self.is_over && self.needs <= room {
            self.mappings.push(region, measured);
        } else if !self.is_over {
            (self.is_over, self.mappings) = (true, Mappings::default());
        }
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
