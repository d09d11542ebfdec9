//! Figures stay consistent through any number of splits and joins.

use proptest::prelude::*;

use super::*;

const PAGE: u64 = 4096;

fn sound(held: &Held, all: u64) {
    assert!(u64::from(held.pages) <= all && u64::from(held.swapped) <= all, "{held:?} of {all}");
    assert!(held.lazy <= held.pages, "{held:?}");
}

fn held() -> impl Strategy<Value = (Held, u64)> {
    (1_u64..2000, 0..=2000_u32, 0..=2000_u32, 0..=2000_u32, prop::option::of(0..9000_u32)).prop_map(
        |(all, pages, lazy, swapped, pss)| {
            let cap = u32::try_from(all).unwrap();
            let pages = pages.min(cap);
            let held = Held {
                pages,
                lazy: lazy.min(pages),
                swapped: swapped.min(cap),
                pss: pss.unwrap_or(Held::NO_PSS),
                ..Held::EMPTY
            };
            (held, all)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_cut_adds_up_and_fits(( mut left, all) in held(), at in any::<prop::sample::Index>()) {
        let (before, at) = (left, at.index(usize::try_from(all).unwrap()) as u64);
        let right = left.split(at, all);
        sound(&left, at);
        sound(&right, all - at);
        left.absorb(right);
        prop_assert_eq!(left, before);
    }

    #[test]
    fn what_is_given_back_was_there((mut held, all) in held(), part in 0_u64..3000, lazily in any::<bool>()) {
        let before = held;
        let part = part.min(all);
        if lazily {
            let freed = held.free_lazily(part, all);
            prop_assert_eq!(held.lazy, before.lazy + freed);
        } else {
            let released = held.release(part, all);
            prop_assert_eq!(held.pages, before.pages - released);
            prop_assert!(part < all || (held.pages, held.swapped) == (0, 0));
        }
        sound(&held, all);
    }

    #[test]
    fn what_comes_in_fits((mut held, all) in held(), pages in any::<u64>(), is_private in any::<bool>()) {
        held.add(pages, all, is_private, PAGE, Grade::Sampled);
        sound(&held, all);
    }

    #[test]
    fn no_truth_is_more_than_there_is_room(
        (mut held, all) in held(),
        resident in any::<u64>(),
        others in prop::array::uniform3(prop::option::of(any::<u64>())),
    ) {
        let [lazy_free, swapped, pss] = others.map(|bytes| bytes.map(Bytes));
        let was_known = held.pss != Held::NO_PSS;
        held.set(&Measured { resident: Bytes(resident), lazy_free, swapped, pss }, all, true, PAGE, u64::MAX, Grade::Measured);
        sound(&held, all);
        prop_assert_eq!(held.show(PAGE).unwrap().pss.is_some(), pss.is_some() || was_known);
    }
}

/// PAGEMAP_SCAN does not show how many processes share a page.
#[test]
fn a_share_that_was_not_measured_stays_in_proportion() {
    let pss = |held: &Held| held.show(PAGE).unwrap().pss;
    let truth = |pages: u64, pss: Option<Bytes>| Measured {
        resident: Bytes(pages * PAGE),
        pss,
        ..Measured::default()
    };
    let mut held = Held::UNREAD;
    held.set(&truth(10, Some(Bytes(5 * PAGE))), 100, true, PAGE, 1, Grade::Measured);
    held.set(&truth(20, None), 100, true, PAGE, 2, Grade::Measured);
    assert_eq!(pss(&held), Some(Bytes(10 * PAGE)));
    let mut own = Held::EMPTY;
    own.set(&truth(7, None), 100, true, PAGE, 2, Grade::Measured);
    assert_eq!(pss(&own), Some(Bytes(7 * PAGE)));
    let mut file = Held::EMPTY;
    file.set(&truth(7, None), 100, false, PAGE, 2, Grade::Measured);
    assert_eq!(pss(&file), None);
}

#[test]
fn the_worse_grade_stands_and_unknown_is_worst() {
    let mut measured = Held::EMPTY;
    measured.set(&Measured::default(), 10, true, PAGE, 1 << 40, Grade::Measured);
    assert_eq!(measured.show(PAGE).unwrap().grade, Grade::Measured);
    measured.absorb(Held::EMPTY);
    let shown = measured.show(PAGE).unwrap();
    assert_eq!((shown.grade, shown.measured_at), (Grade::Sampled, None));
    measured.absorb(Held::UNREAD);
    assert_eq!(measured.show(PAGE), None);
}

#[test]
fn smaps_without_a_resident_field_measures_nothing() {
    use crate::mm::region::{Backing, Prot};
    let mut region = Region::new(0, PAGE, Prot(3), Backing::Anonymous);
    let usage = Usage { rss: Some(Bytes(0)), ..Usage::default() };
    assert_eq!(Measured::of(&region, &usage), Some(Measured::default()));
    region.is_hugetlb = true;
    assert_eq!(Measured::of(&region, &usage), None);
}
