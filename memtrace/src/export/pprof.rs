//! A profile in the form of pprof: `profile.proto`, compressed with gzip.
//!
//! [`Profile`] -> bytes that `go tool pprof`, Pyroscope, Parca and others read. Pure.

mod messages;

use std::{
    collections::HashMap,
    io::{self, Write as _},
};

use flate2::{Compression, write::GzEncoder};
use prost::Message as _;

use self::messages as pb;
use super::profile::{COMMENTS, Process, Profile};
use crate::{snapshot::UserFrame, units::Bytes};

/// The file.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn pprof(profile: &Profile) -> io::Result<Vec<u8>> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    file.write_all(&Builder::default().profile(profile).encode_to_vec())?;
    file.finish()
}

/// Tables of the file; each entry has the number of its place, from 1.
#[derive(Default)]
struct Builder {
    strings: HashMap<String, i64>,
    string_table: Vec<String>,
    mappings: Vec<pb::Mapping>,
    locations: Vec<pb::Location>,
    functions: HashMap<String, u64>,
    function_table: Vec<pb::Function>,
}

impl Builder {
    fn profile(mut self, profile: &Profile) -> pb::Profile {
        // The first string of the table is the empty one.
        self.string("");
        let samples = ("samples", "count");
        let space = ("inuse_space", "bytes");
        let sample_type = [samples, space].map(|(kind, unit)| self.kind(kind, unit)).into();
        let mut sample = Vec::new();
        for process in &profile.processes {
            self.process(profile, process, &mut sample);
        }
        let period = self.kind("space", "bytes");
        let comments = COMMENTS.iter().copied().chain([profile.name.as_str()]);
        pb::Profile {
            sample_type,
            sample,
            time_nanos: i64::try_from(profile.time.as_nanosecond()).unwrap_or_default(),
            duration_nanos: whole(profile.span.nanoseconds()),
            period_type: profile.period.map(|_| period),
            period: profile.period.map_or(0, |Bytes(bytes)| whole(bytes)),
            comment: comments.map(|comment| self.string(comment)).collect(),
            default_sample_type: self.string(space.0),
            mapping: self.mappings,
            location: self.locations,
            function: self.function_table,
            string_table: self.string_table,
        }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(number) = self.strings.get(text) {
            return *number;
        }
        let number = whole(self.string_table.len() as u64);
        self.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }

    fn kind(&mut self, kind: &str, unit: &str) -> pb::ValueType {
        pb::ValueType { r#type: self.string(kind), unit: self.string(unit) }
    }

    fn process(&mut self, profile: &Profile, process: &Process, samples: &mut Vec<pb::Sample>) {
        let labels = self.labels(process);
        // Two processes may have other code at one address.
        let mut places = Places::default();
        for (stack, bytes) in &process.stacks {
            let frames = stack.frames.iter().enumerate();
            let location_id = frames.map(|(at, frame)| self.location(process, &mut places, at > 0, frame));
            samples.push(pb::Sample {
                location_id: location_id.collect(),
                value: vec![whole(profile.samples(*bytes)), whole(bytes.0)],
                label: labels.clone(),
            });
        }
        for mapping in &mut self.mappings {
            mapping.has_functions |= places.named.get(&mapping.id).is_some_and(|are_all| *are_all);
        }
    }

    fn labels(&mut self, process: &Process) -> Vec<pb::Label> {
        let grade = process.grade().to_string();
        let owner = process.owner.as_ref();
        let words = [
            ("comm", Some(process.comm.as_str())),
            ("allocator", owner.map(|(allocator, _)| allocator.as_str())),
            ("arena", owner.map(|(_, arena)| arena.as_str())),
            ("grade", Some(grade.as_str())),
        ];
        let mut labels = vec![pb::Label { key: self.string("pid"), num: process.pid.into(), str: 0 }];
        for (key, word) in words.into_iter().filter_map(|(key, word)| Some((key, word?))) {
            labels.push(pb::Label { key: self.string(key), str: self.string(word), num: 0 });
        }
        labels
    }

    /// The number of the location of a frame. Addresses but the innermost are those that a call returns to: the call is
    /// before them.
    fn location(
        &mut self,
        process: &Process,
        places: &mut Places,
        is_return: bool,
        frame: &UserFrame,
    ) -> u64 {
        let address = frame.address.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let address = address.unwrap_or_default().saturating_sub(u64::from(is_return));
        if let Some(number) = places.locations.get(&address) {
            return *number;
        }
        let mapping_id = self.mapping(process, places, address, frame);
        if mapping_id > 0 {
            *places.named.entry(mapping_id).or_insert(true) &= frame.symbol.is_some();
        }
        let line =
            frame.symbol.as_ref().map(|symbol| pb::Line { function_id: self.function(symbol), line: 0 });
        let id = self.locations.len() as u64 + 1;
        self.locations.push(pb::Location { id, mapping_id, address, line: line.into_iter().collect() });
        places.locations.insert(address, id);
        id
    }

    /// The number of the mapping of an address; 0 where no file is mapped.
    fn mapping(&mut self, process: &Process, places: &mut Places, address: u64, frame: &UserFrame) -> u64 {
        let Some(module) = &frame.module else { return 0 };
        let range = process
            .mapped
            .iter()
            .find(|mapped| (mapped.start..mapped.end).contains(&address) && mapped.file == *module);
        let start = range.map_or(0, |mapped| mapped.start);
        if let Some(number) = places.mappings.get(&(module.clone(), start)) {
            return *number;
        }
        let id = self.mappings.len() as u64 + 1;
        let build_id = range.and_then(|mapped| mapped.build_id.as_deref()).unwrap_or_default();
        let build_id: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mapping = pb::Mapping {
            id,
            memory_start: start,
            memory_limit: range.map_or(0, |mapped| mapped.end),
            file_offset: range.map_or(0, |mapped| mapped.offset),
            filename: self.string(module),
            build_id: self.string(&build_id),
            has_functions: false,
        };
        self.mappings.push(mapping);
        places.mappings.insert((module.clone(), start), id);
        id
    }

    fn function(&mut self, symbol: &str) -> u64 {
        if let Some(number) = self.functions.get(symbol) {
            return *number;
        }
        let id = self.function_table.len() as u64 + 1;
        let name = self.string(symbol);
        self.function_table.push(pb::Function { id, name, system_name: name });
        self.functions.insert(symbol.to_owned(), id);
        id
    }
}

/// What is known of the addresses of one process.
#[derive(Default)]
struct Places {
    locations: HashMap<u64, u64>,
    mappings: HashMap<(String, u64), u64>,
    /// Whether all frames of a mapping have names.
    named: HashMap<u64, bool>,
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
