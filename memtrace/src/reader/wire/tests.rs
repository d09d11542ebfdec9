//! What is sent is received, and what does not make sense is refused.

use std::{sync::Arc, time::Instant};

use proptest::{collection::vec, option, prelude::*};

use super::{regions::Regions, scan, walk};
use crate::{
    mm::{
        listing::Mappings,
        page_table::Found,
        region::{Backing, Born, File, Prot, Region, VmFlags},
        residency::Measured,
    },
    model::{self, scan::Over},
    reader::protocol::{Answer, Piece, frame, receive},
    units::Bytes,
    unwind::Module,
};

fn backing() -> impl Strategy<Value = Backing> {
    let file = (0..3_u64, vec(any::<u8>(), 0..4));
    prop_oneof![
        Just(Backing::Anonymous),
        Just(Backing::SharedAnonymous),
        Just(Backing::UnknownFile),
        Just(Backing::Heap),
        Just(Backing::Stack),
        vec(any::<u8>(), 0..3).prop_map(|name| Backing::Special(name.into())),
        file.prop_map(|(inode, path)| Backing::File(Arc::new(File { device: 1, inode, path }))),
    ]
}

prop_compose! {
    fn region()(
        (start, len) in (0..1_u64 << 62, 1..1_u64 << 40),
        (prot, is_shared, is_hugetlb, offset) in (0..8_u8, any::<bool>(), any::<bool>(), any::<u64>()),
        backing in backing(),
        born in option::of((any::<u64>(), any::<u64>(), any::<u32>(), any::<u64>())),
        vm_flags in option::of(any::<u16>()),
        name in option::of(vec(any::<u8>(), 0..3)),
    ) -> Region {
        let call = |(addr, len, flags, caller)| Born { addr, len, prot: Prot(prot), flags, caller };
        Region {
            is_shared,
            offset,
            born: born.map(call),
            vm_flags: vm_flags.map(VmFlags),
            name: name.map(Arc::from),
            is_hugetlb,
            ..Region::new(start, start + len, Prot(prot), backing)
        }
    }
}

prop_compose! {
    fn measured()(resident: u64, values: [Option<u64>; 3]) -> Measured {
        let [lazy_free, swapped, pss] = values.map(|value| value.map(Bytes));
        Measured { resident: Bytes(resident), lazy_free, swapped, pss }
    }
}

/// Room for any list.
const ROOM: Bytes = Bytes(u64::MAX);

/// What arrives of a value.
fn sent<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    receive(&mut &*frame(value).unwrap()).unwrap()
}

fn found(at: u64) -> Found {
    let measured = Measured { resident: Bytes(at), swapped: Some(Bytes(0)), ..Measured::default() };
    Found { start: at << 12, end: (at + 1) << 12, measured, file: None, huge: Some(Bytes(0)) }
}

proptest! {
    #[test]
    fn regions_arrive_as_they_are(regions in vec(region(), 0..20)) {
        prop_assert_eq!(sent(&Regions::pack(&regions)).unpack(), Some(regions));
    }

    #[test]
    fn a_scan_arrives_as_it_is(
        mappings in vec((region(), option::of(measured())), 0..9),
        at: u64,
        is_bare: bool,
        parts in vec(0..1_u64 << 20, 0..9),
    ) {
        let mappings = mappings.into_iter().map(|(region, of)| (region, of.filter(|_| !is_bare)));
        let mut parts = parts;
        parts.sort_unstable();
        parts.dedup();
        let scan = model::scan::Scan {
            at,
            is_bare,
            mappings: mappings.collect(),
            parts: parts.into_iter().map(found).collect(),
            ..model::scan::Scan::empty(7)
        };
        let arrived = sent(&scan::Scan::pack(&scan)).unpack(7, ROOM).unwrap();
        prop_assert_eq!((arrived.pid, arrived.at, arrived.is_bare), (7, at, is_bare));
        prop_assert_eq!((arrived.mappings, arrived.parts), (scan.mappings, scan.parts));
    }

    #[test]
    fn code_arrives_as_it_is(regions in vec(region(), 0..9)) {
        let mut modules: Vec<Module> = regions
            .iter()
            .map(|region| Module {
                range: region.start..region.end,
                offset: region.offset,
                file: match &region.backing {
                    Backing::File(file) => Some(Arc::clone(file)),
                    _ => None,
                },
            })
            .collect();
        modules.sort_unstable_by_key(|module| module.range.start);
        let arrived = sent(&walk::Modules::pack(&modules)).unpack();
        let are_sorted = modules.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start);
        prop_assert_eq!(arrived.as_deref(), are_sorted.then_some(&*modules));
    }
}

#[test]
fn a_list_larger_than_its_room_is_refused_and_the_size_of_one_that_was_not_kept_arrives() {
    let region = |start| Region::new(start, start + 0x1000, Prot::NONE, Backing::Anonymous);
    let mappings: Mappings = [(region(0x1000), None), (region(0x2000), None)].into_iter().collect();
    let scan = model::scan::Scan { mappings, ..model::scan::Scan::empty(7) };
    let unpacked = |each: u64| scan::Scan::pack(&scan).unpack(7, Bytes(each * Mappings::EACH));
    assert!(unpacked(2).is_some() && unpacked(1).is_none());
    let over = Some(Over { mappings: 1 << 40, list: Bytes(1 << 50) });
    let scan = model::scan::Scan { over, ..model::scan::Scan::empty(7) };
    assert_eq!(sent(&scan::Scan::pack(&scan)).unpack(7, Bytes(0)).and_then(|scan| scan.over), over);
}

#[test]
fn ranges_out_of_order_are_refused_where_order_matters() {
    let scan = |parts: Vec<Found>| model::scan::Scan { parts, ..model::scan::Scan::empty(7) };
    assert!(scan::Scan::pack(&scan(vec![found(1), found(2)])).unpack(7, ROOM).is_some());
    assert!(scan::Scan::pack(&scan(vec![found(2), found(1)])).unpack(7, ROOM).is_none());
    let empty = Region::new(0x2000, 0x2000, Prot::NONE, Backing::Anonymous);
    assert_eq!(Regions::pack([&empty]).unpack(), None);
    let inverted = Region::new(0x3000, 0x2000, Prot::NONE, Backing::Anonymous);
    assert_eq!(Regions::pack([&inverted]).unpack(), None);
}

/// A process with as many mappings as the kernel allows by default. Prints what it costs, and judges the size alone.
#[test]
fn an_answer_of_65000_mappings_fits_in_a_frame() {
    let file = Arc::new(File { device: 1, inode: 2, path: b"/usr/lib/x86_64-linux-gnu/libc.so.6".to_vec() });
    let measured = Measured { resident: Bytes(40 << 10), pss: Some(Bytes(9999)), ..Measured::default() };
    let measured = Measured { swapped: Some(Bytes(0)), lazy_free: Some(Bytes(4096)), ..measured };
    let mapping = |number: u64| {
        let backing =
            if number.is_multiple_of(4) { Backing::File(Arc::clone(&file)) } else { Backing::Anonymous };
        let start = 0x7f00_0000_0000 + number * 0x11_0000;
        let vm_flags = Some(VmFlags(3));
        let region = Region { vm_flags, ..Region::new(start, start + 0x10_0000, Prot(3), backing) };
        (region, Some(measured))
    };
    let mappings = (0..65_000).map(mapping).collect();
    let scan = model::scan::Scan { mappings, ..model::scan::Scan::empty(7) };
    let begun = Instant::now();
    let answer = Answer::Scan(Piece::Done(Box::new(scan::Scan::pack(&scan))));
    let packed = begun.elapsed();
    let bytes = frame(&answer).unwrap();
    let encoded = begun.elapsed();
    let Answer::Scan(Piece::Done(arrived)) = receive(&mut &*bytes).unwrap() else { panic!("another answer") };
    let decoded = begun.elapsed();
    let arrived = arrived.unpack(7, ROOM).unwrap();
    let unpacked = begun.elapsed();
    assert_eq!(arrived.mappings, scan.mappings);
    println!(
        "{} bytes; packed in {packed:?}, encoded in {:?}, decoded in {:?}, unpacked in {:?}",
        bytes.len(),
        encoded - packed,
        decoded - encoded,
        unpacked - decoded
    );
    assert!(bytes.len() < 4 << 20);
}
