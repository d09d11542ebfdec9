//! What fills a Java heap: bytes and instances of each class, garbage that is not collected yet included.
//!
//! Input: the fields of this build, and the heap. Output: [`Objects`]. Objects follow each other without gaps, so that a
//! part of the heap is walked from its start. Of G1's regions an evenly spread part is read where there is no budget for
//! all; objects of half a region and more have regions of their own, and all of these are found. A region that is
//! collected while it is read is thrown away.

mod classes;
mod spaces;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::{
    classes::{Classes, HEADER, Layout},
    spaces::Spaces,
};
use super::{
    SHARED_CLASSES,
    fields::{Fields, Libjvm},
};
use crate::{
    allocator::{
        counters::{Absent, Target, data, sampling},
        evidence::{Mark, ProcessEvidence},
        image::Image,
        objects::{
            ObjectReader, Objects,
            tally::{self, Part, Stratum, Tally, Type},
        },
    },
    units::{Bytes, Grade},
};

const NAME: &str = "jvm";
/// Bytes that are read at once.
const WINDOW: u64 = 256 << 10;
/// Filled, but by nothing that is known: room of threads, objects of unloaded classes.
const UNTYPED: Type = Type::MAX;
/// The strata: regions and generations; objects with regions of their own.
const COMMON: u8 = 0;
const HUGE: u8 = 1;

/// The reader.
pub struct Hotspot;

impl ObjectReader for Hotspot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Hotspot)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Objects, Absent> {
        let absent = |reason: &str| Absent { allocator: NAME.to_owned(), reason: reason.to_owned() };
        // Objects of the archive of shared classes are in regions that are mapped from it.
        let is_heap = |kind: &str| matches!(kind, "java heap" | SHARED_CLASSES);
        let ours = target.ranges_of(NAME).filter(|owned| is_heap(owned.owner.kind));
        let ranges: Vec<(u64, u64)> = ours.map(|owned| (owned.start, owned.end)).collect();
        let libjvm =
            Libjvm::of(target).ok_or_else(|| absent("the fields of its libjvm could not be read"))?;
        census(&libjvm.fields, target.image, &ranges).map_err(absent)
    }
}

/// What fills the heap in these ranges.
fn census(fields: &Fields, image: &mut dyn Image, ranges: &[(u64, u64)]) -> Result<Objects, &'static str> {
    let unknown = "no heap of G1, Serial or Parallel was found; others are not understood yet";
    let spaces = spaces::find(fields, image, ranges).ok_or_else(|| {
        if image.is_spent() { "the time limit was reached before its regions were listed" } else { unknown }
    })?;
    let layout = Layout::of(fields, image).ok_or("this build lacks a field of its classes")?;
    let rooms = spaces::rooms(fields, image).unwrap_or_default();
    let mut walk =
        Walk { classes: Classes::new(layout), rooms, tally: Tally::default(), changed: 0, read: 0 };
    let common = walk.huge(image, &spaces);
    let budget = image.left();
    for number in sampling::order(common.len() as u64) {
        let Some(part) = usize::try_from(number).ok().and_then(|number| common.get(number)) else { continue };
        if image.left() <= budget / 16 || !walk.part(image, part) {
            break;
        }
    }
    let read = walk.tally.read(COMMON);
    if spaces.region.is_none() && read < common.len() as u64 {
        return Err("it is larger than what may be read, and only G1's regions can be sampled");
    }
    if read == 0 && !common.is_empty() {
        return Err("the time limit was reached before a region was read");
    }
    let now = spaces::find(fields, image, ranges);
    walk.objects(&spaces, &common, now.as_ref())
}

/// A walk through the parts of a heap.
struct Walk {
    classes: Classes,
    /// Where threads have room, and its end.
    rooms: HashMap<u64, u64>,
    tally: Tally,
    changed: u64,
    /// Bytes.
    read: u64,
}

impl Walk {
    /// Counts the objects that have regions of their own, and returns the other parts.
    fn huge(&mut self, image: &mut dyn Image, spaces: &Spaces) -> Vec<spaces::Part> {
        let Some(region) = spaces.region else { return spaces.parts.clone() };
        let (mut common, mut end) = (Vec::new(), 0);
        for part in &spaces.parts {
            if part.bottom < end {
                // The object before goes on.
                continue;
            }
            let mut header = [0; HEADER];
            let is_read = image.read(part.bottom, &mut header);
            let object = self.classes.object(image, part.bottom, &header).filter(|_| is_read);
            match object.filter(|(_, bytes)| *bytes > region / 2) {
                Some((of, bytes)) => {
                    let piece = HashMap::from([(of, Part { bytes, held: 0, count: 1 })]);
                    self.tally.add(HUGE, &piece);
                    end = part.bottom.saturating_add(bytes);
                }
                None => common.push(*part),
            }
        }
        common
    }

    /// Walks one part. False when the budget is spent.
    fn part(&mut self, image: &mut dyn Image, part: &spaces::Part) -> bool {
        let mut piece: HashMap<Type, Part> = HashMap::new();
        let (mut at, mut is_lost) = (part.bottom, false);
        let (mut start, mut window) = (0, Vec::new());
        let mut unknown = 0;
        while at < part.top {
            // The room at the end of eden has nothing behind it.
            if let Some(end) = self.rooms.get(&at).map(|end| (*end).min(part.top)) {
                (unknown, at, is_lost) = (unknown + (end - at), end, true);
                continue;
            }
            let offset = usize::try_from(at.wrapping_sub(start)).unwrap_or(usize::MAX);
            let header = window.get(offset..).and_then(|rest: &[u8]| rest.get(..HEADER));
            let Some(header) = header else {
                start = at;
                let len = (part.top - at).min(WINDOW);
                if len < HEADER as u64 {
                    unknown += len;
                    break;
                }
                window = data::filled(image, at, usize::try_from(len).unwrap_or_default());
                self.read += len;
                if image.is_spent() {
                    return false;
                }
                continue;
            };
            // Behind a gap only what looks like an unlocked object is one.
            let is_likely = !is_lost || header.first().is_some_and(|mark| mark & 3 == 1);
            let object = if is_likely { self.classes.object(image, at, header) } else { None };
            match object.filter(|(_, bytes)| *bytes <= part.top - at) {
                Some((of, bytes)) => {
                    let sum = piece.entry(of).or_default();
                    (sum.bytes, sum.count) = (sum.bytes + bytes, sum.count + 1);
                    (at, is_lost) = (at + bytes, false);
                }
                None => (at, is_lost, unknown) = (at + 8, true, unknown + 8),
            }
        }
        if image.is_spent() {
            return false;
        }
        // A collection empties it: what was read may have been moved already.
        if image
            .word(part.top_at)
            .is_none_or(|top| !(part.top..=part.bottom + part.len().max(1 << 40)).contains(&top))
        {
            self.changed += 1;
            return true;
        }
        piece.insert(UNTYPED, Part { bytes: unknown, held: 0, count: 0 });
        self.tally.add(COMMON, &piece);
        true
    }

    /// The figures of these spaces, which are now those.
    fn objects(
        self,
        spaces: &Spaces,
        common: &[spaces::Part],
        now: Option<&Spaces>,
    ) -> Result<Objects, &'static str> {
        let heap: u64 = spaces.parts.iter().map(spaces::Part::len).fold(0, u64::saturating_add);
        let moved = now.map_or(heap, |now| moved(&spaces.parts, &now.parts));
        let largest = common.iter().map(spaces::Part::len).max().unwrap_or_default();
        let (huge, pieces) = (self.tally.read(HUGE), common.len() as u64);
        let stratum = |stratum: u8| Stratum {
            pieces: if stratum == HUGE { huge } else { pieces },
            most: Part { bytes: largest, held: 0, count: largest / 16 },
            moved: if stratum == HUGE {
                Part::default()
            } else {
                Part { bytes: moved, held: 0, count: moved / 16 }
            },
        };
        let mut sums = self.tally.sums(stratum, moved == 0);
        let [untyped, ..] = sums.remove(&UNTYPED).unwrap_or_default();
        let named = sums.into_iter().filter_map(|(of, sums)| Some((self.classes.name(of)?.to_owned(), sums)));
        let (rows, others) = tally::rows(named);
        if rows.is_empty() && heap > 0 {
            return Err(
                "its objects were not recognised: compact headers, or class pointers that are not compressed",
            );
        }
        let read = self.tally.read(COMMON);
        Ok(Objects {
            runtime: NAME.to_owned(),
            rows,
            others,
            untyped_bytes: Bytes(untyped.sum),
            heap_bytes: Bytes(heap),
            error_bytes: Bytes(moved),
            read_bytes: Bytes(self.read),
            pieces: pieces + huge,
            pieces_read: read + huge,
            pieces_changed: self.changed,
            grade: if read == pieces { Grade::Read } else { Grade::Sampled },
            missing: vec!["which of it is garbage that is not collected yet: it is counted".to_owned()],
        })
    }
}

/// How many bytes were filled or emptied between two looks.
fn moved(first: &[spaces::Part], again: &[spaces::Part]) -> u64 {
    let tops: HashMap<u64, u64> = again.iter().map(|part| (part.bottom, part.len())).collect();
    let was: HashMap<u64, u64> = first.iter().map(|part| (part.bottom, part.len())).collect();
    let changed = first.iter().map(|part| tops.get(&part.bottom).copied().unwrap_or(0).abs_diff(part.len()));
    let new = again.iter().filter(|part| !was.contains_key(&part.bottom)).map(spaces::Part::len);
    changed.chain(new).fold(0, u64::saturating_add)
}
