//! What fills a Go heap, by allocation site: the runtime's own heap profile, which it keeps whether or not anybody asks.
//!
//! Input: a process with the Go runtime. Output: [`Objects`], one row for each function that allocates, with its caller. The
//! profile is a sample of allocations, which is scaled as `runtime/pprof` does, and is of the last garbage collection but
//! one that has ended. The rate of the sample has no place that is known in a stripped program: it is the default, or as
//! the sums of the profile and of the runtime's counters tell it.

mod buckets;
mod names;
mod rate;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::{
    buckets::{Bucket, Profile},
    names::Functions,
    rate::{ERRORS, LUCK},
};
use super::counters::totals;
use crate::{
    allocator::{
        counters::{Absent, Target, data},
        evidence::{Mark, ProcessEvidence},
        objects::{
            ObjectReader, Objects,
            tally::{self, Figure},
        },
    },
    units::{Bytes, Grade},
};

const NAME: &str = "go";
/// Frames of a site that are told: the function that allocates, and its caller.
const FRAMES: usize = 2;

/// The reader.
pub struct Go;

impl ObjectReader for Go {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Go)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Objects, Absent> {
        let absent = |reason: String| Absent { allocator: NAME.to_owned(), reason };
        let data = data::of(target, Mark::Go);
        let profile = Profile::read(target, &data).map_err(|why| absent(why.to_owned()))?;
        let Some((allocated, _)) = totals(&data) else {
            return Err(absent("its gcController was not found: unknown version".to_owned()));
        };
        let rate = rate::of(&profile.buckets, allocated).map_err(|why| absent(why.to_owned()))?;
        let functions = Functions::find(target, &data);
        let mut missing = vec![
            "what was allocated and freed since the last garbage collection but one".to_owned(),
            "sites that allocated too little to be in the sample".to_owned(),
        ];
        if functions.is_empty() {
            missing.push("names of functions: its table of functions was not found".to_owned());
        }
        if !rate.is_default {
            missing.push(format!("the sampling rate: {} B, as sums tell it", rate.bytes));
        }
        let (sites, all) = sites(target, &profile, &functions, rate);
        let (rows, others) = tally::rows(sites.into_iter());
        Ok(Objects {
            runtime: NAME.to_owned(),
            rows,
            others,
            untyped_bytes: Bytes(0),
            heap_bytes: Bytes(all.bytes as u64),
            error_bytes: Bytes(all.off_bytes()),
            read_bytes: Bytes(profile.read_bytes),
            pieces: profile.buckets.len() as u64 + profile.changed,
            pieces_read: profile.buckets.len() as u64,
            pieces_changed: profile.changed,
            grade: Grade::Sampled,
            missing,
        })
    }
}

/// The estimate of what is in use from samples, each of which was taken with a probability that its size tells.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    bytes: f64,
    count: f64,
    /// The variances of both.
    of_bytes: f64,
    of_count: f64,
    /// What one more sample would stand for.
    one_bytes: f64,
    one_count: f64,
    /// The relative error of the rate.
    doubt: f64,
}

impl Estimate {
    /// Adds the objects of a bucket that are in use.
    fn add(&mut self, bucket: &Bucket, rate: rate::Rate) {
        let (seen, size) = (bucket.in_use() as f64, bucket.size as f64);
        let chance = rate.chance(bucket.size);
        let count = seen / chance;
        self.count += count;
        self.bytes += count * size;
        let variance = seen * (1.0 - chance) / (chance * chance);
        self.of_count += variance;
        self.of_bytes += variance * size * size;
        let one = (1.0 - chance) / chance;
        self.one_count = self.one_count.max(one);
        self.one_bytes = self.one_bytes.max(one * size);
        self.doubt = rate.doubt;
    }

    fn off_bytes(&self) -> u64 {
        (ERRORS * self.of_bytes.sqrt() + LUCK * self.one_bytes + self.doubt * self.bytes) as u64
    }

    fn off_count(&self) -> u64 {
        (ERRORS * self.of_count.sqrt() + LUCK * self.one_count + self.doubt * self.count) as u64
    }

    fn figures(&self) -> [Figure; 3] {
        let bytes = Figure { sum: self.bytes as u64, off: self.off_bytes() };
        [bytes, Figure::default(), Figure { sum: self.count as u64, off: self.off_count() }]
    }
}

/// The sums of each site by its name, and of all.
fn sites(
    target: &mut Target<'_>,
    profile: &Profile,
    functions: &Functions,
    rate: rate::Rate,
) -> (HashMap<String, [Figure; 3]>, Estimate) {
    let mut sites: HashMap<String, Estimate> = HashMap::new();
    let mut all = Estimate::default();
    let mut names = HashMap::new();
    for bucket in profile.buckets.iter().filter(|bucket| bucket.in_use() > 0) {
        let mut frames: Vec<String> = Vec::new();
        for pc in &bucket.stack {
            // A return address: the call is before it.
            let pc = pc.saturating_sub(1);
            let name = names
                .entry(pc)
                .or_insert_with(|| functions.name(target, pc).unwrap_or_else(|| hex(target, pc)));
            let is_own = !(frames.is_empty() && is_runtime(name)) && frames.last() != Some(name);
            if is_own && frames.len() < FRAMES {
                frames.push(name.clone());
            }
        }
        let site = if frames.is_empty() { "the runtime".to_owned() } else { frames.join(" < ") };
        sites.entry(site).or_default().add(bucket, rate);
        all.add(bucket, rate);
    }
    (sites.into_iter().map(|(name, site)| (name, site.figures())).collect(), all)
}

/// Whether it allocates for others.
fn is_runtime(name: &str) -> bool {
    name.starts_with("runtime.") || name.starts_with("internal/runtime/")
}

/// Where an address without a name is.
fn hex(target: &Target<'_>, pc: u64) -> String {
    let image = target.process.images_in(pc, pc.saturating_add(1)).next();
    image.map_or_else(
        || format!("{pc:#x}"),
        |(image, _)| format!("program+{:#x}", pc.saturating_sub(image.start)),
    )
}
