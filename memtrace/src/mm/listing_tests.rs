//! Lists of mappings: what fits is kept, what does not is counted, and recordings read back.

use super::*;

/// An smaps file with so many mappings, each of another file with a path of so many bytes.
fn smaps(mappings: u64, path: usize) -> String {
    let mapping = |at: u64| {
        let start = 0x7f00_0000_0000 + at * 0x2000;
        let end = start + 0x1000;
        format!(
            "{start:x}-{end:x} r--p 00000000 fe:00 {at} /{}\nRss: 4 kB\nPss: 2 kB\nSwap: 0 kB\nVmFlags: rd\n",
            "x".repeat(path)
        )
    };
    (1..=mappings).map(mapping).collect()
}

fn list(text: &str, room: u64) -> Listing {
    Lister::of_smaps(text.as_bytes(), Bytes(room)).read_on(Duration::MAX).unwrap().unwrap()
}

#[test]
fn each_mapping_is_there_with_its_measurement() {
    let listing = list(&smaps(3, 10), 1 << 20);
    assert_eq!((listing.mappings.len(), listing.count, listing.is_over, listing.malformed), (3, 3, false, 0));
    let measured: Vec<_> = listing.mappings.measured().map(|(region, of)| (region.start, *of)).collect();
    let of =
        Measured { resident: Bytes(4096), pss: Some(Bytes(2048)), swapped: Some(Bytes(0)), lazy_free: None };
    let starts = [0x7f00_0000_2000, 0x7f00_0000_4000, 0x7f00_0000_6000];
    assert_eq!(measured, starts.map(|start| (start, of)));
    assert!(listing.mappings.regions().iter().all(|region| region.vm_flags.is_some()));
}

#[test]
fn a_list_that_does_not_fit_is_dropped_and_counted_to_its_end() {
    let text = smaps(1000, 10);
    let fits = list(&text, 1000 * (Mappings::EACH + 150));
    assert_eq!((fits.mappings.len(), fits.count, fits.is_over), (1000, 1000, false));
    let over = list(&text, 999 * Mappings::EACH);
    assert_eq!((over.mappings.len(), over.count, over.is_over), (0, 1000, true));
    assert_eq!(over.needs, fits.needs);
    assert!(!list(&text, fits.needs.0).is_over);
    // Names count too.
    assert!(list(&smaps(1000, 5000), 1000 * (Mappings::EACH + 150)).is_over);
}

#[test]
fn a_file_that_is_slow_is_read_in_pieces() {
    let text = smaps(500, 100);
    let mut lister = Lister::of_smaps(text.as_bytes(), Bytes(1 << 20));
    let mut pieces = 1;
    let listing = loop {
        match lister.read_on(Duration::ZERO).unwrap() {
            Some(listing) => break listing,
            None => pieces += 1,
        }
    };
    assert!(pieces > 1);
    assert_eq!(listing, list(&text, 1 << 20));
}

#[test]
fn a_recording_reads_back() {
    let mut mappings = list(&smaps(3, 10), 1 << 20).mappings;
    mappings.push(Region { is_hugetlb: true, ..mappings.regions()[0].clone() }, Some(Measured::default()));
    mappings.push(mappings.regions()[1].clone(), None);
    let text = serde_json::to_string(&mappings).unwrap();
    assert_eq!(serde_json::from_str::<Mappings>(&text).unwrap(), mappings);
    let plain: Vec<Mapping> = serde_json::from_str(&text).unwrap();
    assert_eq!(plain.len(), 5, "older versions read it as a list of mappings");
}

/// The lists of this process are those of the other parsers.
#[test]
fn this_process_is_listed() {
    let (procfs, own) = (Procfs::new("/proc"), std::process::id());
    for mut lister in [
        Lister::maps(&procfs, own, Bytes(1 << 20)).unwrap(),
        Lister::smaps(&procfs, own, Bytes(1 << 20)).unwrap(),
    ] {
        let listing = lister.read_on(Duration::MAX).unwrap().unwrap();
        assert_eq!((listing.malformed, listing.is_over), (0, false));
        assert_eq!(listing.count, listing.mappings.len() as u64);
        let code = this_process_is_listed as fn() as usize as u64;
        assert!(listing.mappings.regions().iter().any(|region| (region.start..region.end).contains(&code)));
    }
    assert!(matches!(Lister::maps(&procfs, u32::MAX, Bytes(0)), Err(Error::Gone)));
}
