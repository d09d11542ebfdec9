//! The file is read back by a decoder of its own, from the wire format alone.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _},
    process::Command,
};

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::pprof;
use crate::{
    export::profile::{Profile, tests::profile},
    units::Bytes,
};

/// A field's value.
#[derive(Clone, Debug)]
enum Wire {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message, by number, in their order.
#[derive(Debug, Default)]
struct Message(BTreeMap<u64, Vec<Wire>>);

fn number(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let mut message = Self::default();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let value = match key & 7 {
                0 => Wire::Number(number(&mut bytes)),
                2 => {
                    let len = usize::try_from(number(&mut bytes)).unwrap();
                    let (field, rest) = bytes.split_at(len);
                    bytes = rest;
                    Wire::Bytes(field.into())
                }
                other => panic!("wire type {other}"),
            };
            message.0.entry(key >> 3).or_default().push(value);
        }
        message
    }

    /// Numbers, packed or not.
    fn numbers(&self, field: u64) -> Vec<u64> {
        let all = self.0.get(&field).into_iter().flatten();
        all.flat_map(|value| match value {
            Wire::Number(number) => vec![*number],
            Wire::Bytes(packed) => {
                let (mut packed, mut all) = (packed.as_slice(), Vec::new());
                while !packed.is_empty() {
                    all.push(number(&mut packed));
                }
                all
            }
        })
        .collect()
    }

    fn number(&self, field: u64) -> u64 {
        self.numbers(field).first().copied().unwrap_or_default()
    }

    fn bytes(&self, field: u64) -> Vec<&[u8]> {
        let all = self.0.get(&field).into_iter().flatten();
        all.map(|value| match value {
            Wire::Bytes(bytes) => bytes.as_slice(),
            Wire::Number(number) => panic!("{number} is no message"),
        })
        .collect()
    }

    fn messages(&self, field: u64) -> Vec<Self> {
        self.bytes(field).into_iter().map(Self::read).collect()
    }
}

/// A file, as a reader sees it.
struct File {
    all: Message,
    strings: Vec<String>,
}

impl File {
    fn of(profile: &Profile) -> Self {
        let mut bytes = Vec::new();
        GzDecoder::new(&*pprof(profile).unwrap()).read_to_end(&mut bytes).unwrap();
        let all = Message::read(&bytes);
        let strings = all.bytes(6).into_iter().map(|text| String::from_utf8(text.into()).unwrap()).collect();
        Self { all, strings }
    }

    fn string(&self, place: u64) -> &str {
        &self.strings[usize::try_from(place).unwrap()]
    }

    fn kind(&self, of: &Message) -> (&str, &str) {
        (self.string(of.number(1)), self.string(of.number(2)))
    }

    fn by_id(&self, field: u64, id: u64) -> Message {
        let found = self.all.messages(field).into_iter().find(|message| message.number(1) == id);
        found.unwrap_or_else(|| panic!("{field} has no {id}"))
    }

    /// The functions of a sample, leaf first.
    fn functions(&self, sample: &Message) -> Vec<String> {
        let locations = sample.numbers(1).into_iter().map(|id| self.by_id(4, id));
        let name = |location: Message| match location.messages(4).first() {
            Some(line) => self.string(self.by_id(5, line.number(1)).number(2)).to_owned(),
            None => format!("{:#x}", location.number(3)),
        };
        locations.map(name).collect()
    }

    fn sums(&self) -> [u64; 2] {
        let values = self.all.messages(2).into_iter().map(|sample| sample.numbers(2));
        values.fold([0, 0], |[samples, bytes], of| [samples + of[0], bytes + of[1]])
    }
}

#[test]
fn the_file_says_what_its_figures_mean() {
    let profile = profile(&[(7, &[(3 << 20, &["malloc", "grow", "main"]), (8192, &["", "main"])])]);
    let file = File::of(&profile);
    assert_eq!(file.strings[0], "", "the first string is the empty one");
    let kinds: Vec<_> = file.all.messages(1);
    let kinds: Vec<_> = kinds.iter().map(|kind| file.kind(kind)).collect();
    assert_eq!(kinds, [("samples", "count"), ("inuse_space", "bytes")]);
    assert_eq!(file.string(file.all.number(14)), "inuse_space");
    assert_eq!(file.kind(&file.all.messages(11)[0]), ("space", "bytes"));
    assert_eq!(file.all.number(12), 64 * 4096);
    assert_eq!(file.all.number(9), 1_767_323_045_000_000_000);
    assert_eq!(file.all.number(10), 600_000_000_000);
    let comments: Vec<&str> = file.all.numbers(13).into_iter().map(|place| file.string(place)).collect();
    assert!(comments.contains(&"first touch, not allocation"), "{comments:?}");

    let samples = file.all.messages(2);
    assert_eq!(file.functions(&samples[0]), ["malloc", "grow", "main"], "leaf first");
    assert_eq!((samples[0].numbers(2), samples[1].numbers(2)), (vec![12, 3 << 20], vec![1, 8192]));
    let label = |label: &Message| match label.number(2) {
        0 => (file.string(label.number(1)).to_owned(), label.number(3).to_string()),
        word => (file.string(label.number(1)).to_owned(), file.string(word).to_owned()),
    };
    let labels: BTreeMap<String, String> = samples[0].messages(3).iter().map(label).collect();
    let expected =
        [("allocator", "jemalloc"), ("arena", "heap"), ("comm", "app"), ("grade", "inferred"), ("pid", "7")];
    assert_eq!(labels, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());

    let mapping = &file.all.messages(3)[0];
    assert_eq!((mapping.number(2), mapping.number(3), mapping.number(4)), (0x40_0000, 0x41_0000, 0x1000));
    assert_eq!((file.string(mapping.number(5)), file.string(mapping.number(6))), ("/app/server", "abcd"));
    assert_eq!(mapping.number(7), 0, "a name is missing, which the reader may look up");
}

#[test]
fn addresses_that_a_call_returns_to_are_moved_into_the_call_and_lie_in_their_mapping() {
    let profile = profile(&[(7, &[(8192, &["leaf", "main"])])]);
    let file = File::of(&profile);
    let sample = &file.all.messages(2)[0];
    let addresses: Vec<u64> = sample.numbers(1).into_iter().map(|id| file.by_id(4, id).number(3)).collect();
    let told = |at: usize| {
        let hex = profile.processes[0].stacks[0].0.frames[at].address.trim_start_matches("0x");
        u64::from_str_radix(hex, 16).unwrap()
    };
    assert_eq!(addresses, [told(0), told(1) - 1]);
    assert_eq!(file.all.messages(3)[0].number(7), 1, "all have names");
}

#[test]
fn processes_with_other_code_at_one_address_stay_apart() {
    let file = File::of(&profile(&[(7, &[(4096, &["main"])]), (8, &[(4096, &["main"])])]));
    let samples = file.all.messages(2);
    assert_ne!(samples[0].numbers(1), samples[1].numbers(1));
    assert_eq!(file.all.messages(3).len(), 2);
    assert_eq!(file.all.messages(5).len(), 1, "a function is a name");
}

#[test]
fn no_stack_is_a_valid_file() {
    let file = File::of(&profile(&[]));
    assert_eq!((file.all.messages(2).len(), file.all.messages(1).len()), (0, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn values_add_up_to_the_profile_and_references_lead_somewhere(
        stacks in prop::collection::vec((1_u64..1 << 40, prop::collection::vec("[a-f]{0,2}", 1..6)), 0..6),
        pids in 1_u32..4,
    ) {
        let named: Vec<(u64, Vec<&str>)> =
            stacks.iter().map(|(bytes, names)| (*bytes, names.iter().map(String::as_str).collect())).collect();
        let of_one: Vec<(u64, &[&str])> = named.iter().map(|(bytes, names)| (*bytes, names.as_slice())).collect();
        let processes: Vec<_> = (0..pids).map(|pid| (pid, of_one.as_slice())).collect();
        let profile = profile(&processes);
        let file = File::of(&profile);
        prop_assert_eq!(Bytes(file.sums()[1]), profile.total());
        for sample in file.all.messages(2) {
            file.functions(&sample);
            prop_assert!(sample.numbers(2)[0] >= 1);
        }
        for location in file.all.messages(4) {
            let mapping = file.by_id(3, location.number(2));
            prop_assert!((mapping.number(2)..mapping.number(3)).contains(&location.number(3)));
        }
    }
}

/// The tool that most readers of this form are made from.
#[test]
fn go_opens_the_file_where_it_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memtrace.pb.gz");
    let profile = profile(&[(7, &[(3 << 20, &["malloc", "grow", "main"]), (1 << 20, &["parse", "main"])])]);
    std::fs::write(&file, pprof(&profile).unwrap()).unwrap();
    let told = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(["tool", "pprof", "-symbolize=none"]).args(arguments).arg(&file);
        command.env("PPROF_TMPDIR", dir.path()).env("HOME", dir.path()).env("GOTOOLCHAIN", "local");
        let output = match command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => panic!("{error}"),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(top) = told(&["-top", "-unit=B"]) else {
        eprintln!("go is not installed: its tool did not open the file");
        return;
    };
    for said in ["Type: inuse_space", "4194304B total", "3145728B 75.00% 75.00%", "malloc", "server"] {
        assert!(top.contains(said), "{said}: {top}");
    }
    let line = |of: &str| top.lines().find(|line| line.ends_with(of)).unwrap().to_owned();
    assert!(line(" main").contains("4194304B   100%"), "{top}");
    let raw = told(&["-raw"]).unwrap();
    for said in
        ["first touch, not allocation", "inuse_space/bytes[dflt]", "/app/server abcd", "grade:[inferred]"]
    {
        assert!(raw.contains(said), "{said}: {raw}");
    }
}
