//! Random calls against a map of single pages, which is too simple to be wrong.

use std::{collections::BTreeMap, ops::Range};

use proptest::prelude::*;

use super::*;

/// The attributes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attributes {
    prot: Prot,
    is_shared: bool,
    is_file: bool,
    offset: u64,
    born: Option<(u64, u64)>,
    is_kept_from_children: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Map { at: u64, pages: u64, prot: u32, kind: u32, offset: u64 },
    Unmap { at: u64, pages: u64 },
    Protect { at: u64, pages: u64, prot: u32 },
    Move { old: u64, pages: u64, new: u64, new_pages: u64, keep: bool },
    Resize { at: u64, pages: u64, new_pages: u64 },
    DontFork { at: u64, pages: u64, is_on: bool },
    Release { at: u64, pages: u64, advice: i32 },
    Brk { to: u64 },
    Fault { at: u64, period: u64 },
    Truth { at: u64, pages: u64, resident: u64 },
    Fork,
    Resync { lost: Range<u64> },
}

const HEAP: u64 = 400;

fn op() -> impl Strategy<Value = Op> {
    let at = || 0_u64..64;
    let pages = || 1_u64..12;
    let prot = || prop::sample::select(vec![0_u32, 1, 3, 5]);
    let kind = prop::sample::select(vec![PRIVATE, libc::MAP_PRIVATE as u32, libc::MAP_SHARED as u32]);
    let advice = prop::sample::select(vec![
        libc::MADV_DONTNEED,
        libc::MADV_FREE,
        libc::MADV_POPULATE_WRITE,
        libc::MADV_PAGEOUT,
        libc::MADV_COLD,
    ]);
    prop_oneof![
        6 => (at(), pages(), prot(), kind, 0_u64..9)
            .prop_map(|(at, pages, prot, kind, offset)| Op::Map { at, pages, prot, kind, offset }),
        3 => (at(), pages()).prop_map(|(at, pages)| Op::Unmap { at, pages }),
        3 => (at(), pages(), prot()).prop_map(|(at, pages, prot)| Op::Protect { at, pages, prot }),
        3 => (at(), pages(), at(), pages(), any::<bool>(), any::<bool>()).prop_map(
            |(old, pages, new, new_pages, keep, equal)| Op::Move {
                old, pages, new, keep, new_pages: if equal || keep { pages } else { new_pages },
            }
        ),
        2 => (at(), pages(), pages()).prop_map(|(at, pages, new_pages)| Op::Resize { at, pages, new_pages }),
        1 => (at(), pages(), any::<bool>()).prop_map(|(at, pages, is_on)| Op::DontFork { at, pages, is_on }),
        3 => (at(), pages(), advice).prop_map(|(at, pages, advice)| Op::Release { at, pages, advice }),
        2 => (HEAP..HEAP + 30).prop_map(|to| Op::Brk { to }),
        5 => (at(), 1_u64..8).prop_map(|(at, period)| Op::Fault { at, period }),
        2 => (at(), pages(), 0_u64..20)
            .prop_map(|(at, pages, resident)| Op::Truth { at, pages, resident }),
        1 => Just(Op::Fork),
        1 => (at(), pages()).prop_map(|(at, pages)| Op::Resync { lost: at..at + pages }),
    ]
}

/// The model under test and the naive one. Page numbers are addresses divided by the page size.
struct Both {
    space: AddressSpace,
    pages: BTreeMap<u64, Attributes>,
    brk: u64,
}

impl Both {
    fn new() -> Self {
        let mut space = space();
        space.set_start_brk(HEAP * PAGE);
        Self { space, pages: BTreeMap::new(), brk: HEAP }
    }

    fn clear(&mut self, range: Range<u64>) {
        self.pages.retain(|page, _| !range.contains(page));
    }

    fn is_mapped(&self, mut range: Range<u64>) -> bool {
        range.all(|page| self.pages.contains_key(&page))
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Map { at, pages, prot, kind, offset } => self.map(at, pages, (prot, kind, offset)),
            Op::Unmap { at, pages } => {
                self.space.unmap(at * PAGE, pages * PAGE);
                self.clear(at..at + pages);
            }
            Op::Protect { at, pages, prot } => {
                if self.is_mapped(at..at + pages) {
                    self.space.protect(at * PAGE, pages * PAGE, prot.into());
                    self.pages.range_mut(at..at + pages).for_each(|(_, page)| page.prot = Prot(prot as u8));
                }
            }
            Op::Move { old, pages, new, new_pages, keep } => {
                self.move_pages(old, pages, new, new_pages, keep)
            }
            Op::Resize { at, pages, new_pages } => self.resize(at, pages, new_pages),
            Op::DontFork { at, pages, is_on } => {
                if self.is_mapped(at..at + pages) {
                    let advice = if is_on { libc::MADV_DONTFORK } else { libc::MADV_DOFORK };
                    self.space.advise(at * PAGE, pages * PAGE, advice);
                    let range = self.pages.range_mut(at..at + pages);
                    range.for_each(|(_, page)| page.is_kept_from_children = is_on);
                }
            }
            Op::Release { at, pages, advice } => {
                if self.is_mapped(at..at + pages) {
                    self.space.advise(at * PAGE, pages * PAGE, advice);
                }
            }
            Op::Brk { to } => self.set_brk(to),
            Op::Fault { at, period } => {
                if self.is_mapped(at..at + 1) {
                    self.space.fault(at * PAGE + 5, period);
                }
            }
            Op::Truth { at, pages, resident } => {
                let resident = Bytes(resident * PAGE);
                let truth = Measured { resident, swapped: Some(resident), ..Measured::default() };
                self.space.set_truth(at * PAGE, (at + pages) * PAGE, &truth, 1 << 40);
            }
            Op::Fork => {
                let mut child = self.space.fork();
                check(&child);
                std::mem::swap(&mut self.space, &mut child);
                self.pages.retain(|_, page| !page.is_kept_from_children);
            }
            Op::Resync { ref lost } => {
                // These were unmapped without an event.
                self.clear(lost.clone());
                let fresh: Vec<Region> = self.pages.iter().map(|(page, is)| region(*page, is)).collect();
                self.space.resync(&fresh);
                if self.brk > HEAP {
                    return;
                }
                self.space.set_start_brk(HEAP * PAGE);
            }
        }
    }

    fn map(&mut self, at: u64, pages: u64, (prot, kind, offset): (u32, u32, u64)) {
        let call = Mmap { offset: offset * PAGE, ..mmap(at * PAGE, pages * PAGE, prot, kind | FIXED) };
        self.space.map(&call);
        let is_file = kind != PRIVATE;
        self.clear(at..at + pages);
        self.pages.extend((0..pages).map(|index| {
            let attributes = Attributes {
                prot: Prot(prot as u8),
                is_shared: kind == libc::MAP_SHARED as u32,
                is_file,
                offset: if is_file { (offset + index) * PAGE } else { 0 },
                born: Some((call.addr, call.len)),
                is_kept_from_children: false,
            };
            (at + index, attributes)
        }));
    }

    fn set_brk(&mut self, to: u64) {
        // The requested break is somewhere in the last page.
        self.space.set_brk(to * PAGE - if to > HEAP { 9 } else { 0 });
        self.clear(to..HEAP + 100);
        let heap = Attributes {
            prot: Prot(Prot::READ | Prot::WRITE),
            is_shared: false,
            is_file: false,
            offset: 0,
            born: None,
            is_kept_from_children: false,
        };
        self.pages.extend((self.brk..to).map(|page| (page, heap)));
        self.brk = to;
    }

    fn move_pages(&mut self, old: u64, pages: u64, new: u64, new_pages: u64, keep: bool) {
        let moved = pages.min(new_pages);
        let is_apart = old + pages <= new || new + new_pages <= old;
        if !is_apart || !self.is_mapped(old..old + pages) {
            return;
        }
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | if keep { 4 } else { 0 };
        self.space.remap(&mremap(old * PAGE, pages * PAGE, new * PAGE, new_pages * PAGE, flags));
        let taken: Vec<Attributes> = self.pages.range(old..old + moved).map(|(_, page)| *page).collect();
        self.clear(new..new + new_pages);
        if !keep {
            self.clear(old..old + pages);
        }
        self.pages.extend((new..).zip(taken));
        self.extend(new + moved..new + new_pages);
    }

    fn resize(&mut self, at: u64, pages: u64, new_pages: u64) {
        let grown = at + pages..at + new_pages;
        let has_room = grown.clone().all(|page| !self.pages.contains_key(&page));
        if !self.is_mapped(at..at + pages) || !has_room {
            return;
        }
        self.space.remap(&mremap(at * PAGE, pages * PAGE, at * PAGE, new_pages * PAGE, 0));
        if new_pages < pages {
            self.clear(at + new_pages..at + pages);
        }
        self.extend(grown);
    }

    /// Continues the page in front of a range through it.
    fn extend(&mut self, range: Range<u64>) {
        let Some(last) = range.start.checked_sub(1).and_then(|page| self.pages.get(&page)).copied() else {
            return;
        };
        for (index, page) in range.enumerate() {
            let offset = if last.is_file { last.offset + (index as u64 + 1) * PAGE } else { 0 };
            self.pages.insert(page, Attributes { offset, ..last });
        }
    }

    fn compare(&self) {
        let pages: BTreeMap<u64, Attributes> = self
            .space
            .regions()
            .flat_map(|region| {
                let pages = region.start / PAGE..region.end / PAGE;
                pages.enumerate().map(move |(index, page)| {
                    let is_file = region.backing == Backing::UnknownFile;
                    let attributes = Attributes {
                        prot: region.prot,
                        is_shared: region.is_shared,
                        is_file,
                        offset: if is_file { region.offset + index as u64 * PAGE } else { region.offset },
                        born: region.born.map(|born| (born.addr, born.len)),
                        is_kept_from_children: region
                            .vm_flags
                            .is_some_and(|flags| flags.has(VmFlags::DONT_COPY)),
                    };
                    (page, attributes)
                })
            })
            .collect();
        // maps does not show flags of file mappings; only the model remembers them.
        let told = |pages: &BTreeMap<u64, Attributes>| -> Vec<(u64, Attributes)> {
            let forget = |is: &Attributes| is.is_file || is.born.is_none();
            pages
                .iter()
                .map(|(page, is)| {
                    (
                        *page,
                        Attributes { is_kept_from_children: !forget(is) && is.is_kept_from_children, ..*is },
                    )
                })
                .collect()
        };
        assert_eq!(told(&pages), told(&self.pages));
    }
}

fn region(page: u64, is: &Attributes) -> Region {
    let backing = if is.is_file { Backing::UnknownFile } else { Backing::Anonymous };
    let backing = if page >= HEAP { Backing::Heap } else { backing };
    let region = Region::new(page * PAGE, (page + 1) * PAGE, is.prot, backing);
    Region { is_shared: is.is_shared, offset: is.offset, ..region }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_and_their_attributes_are_those_of_a_naive_map(ops in prop::collection::vec(op(), 1..60)) {
        let mut both = Both::new();
        for op in &ops {
            both.apply(op);
            both.compare();
            check(&both.space);
            prop_assert_eq!(both.space.stale(), None);
        }
    }

    /// Calls that a kernel would refuse, also at the ends of the address space: no event may leave the map
    /// inconsistent.
    #[test]
    fn impossible_calls_leave_a_sound_map(calls in prop::collection::vec((0..8_u8, wild(), wild(), wild(), wild(), any::<u32>()), 1..40)) {
        let mut space = space();
        for (kind, a, b, c, d, flags) in calls {
            match kind {
                0 | 1 => _ = space.map(&mmap(a, b, flags & 7, flags)),
                2 => _ = space.unmap(a, b),
                3 => _ = space.remap(&mremap(a, b, c, d, (flags & 7) as i32)),
                4 => _ = space.set_brk(a),
                5 => _ = space.advise(a, b, (flags % 104) as i32),
                6 => space.protect(a, b, flags.into()),
                _ => _ = space.fault(a, b),
            }
            check(&space);
        }
    }
}

/// Numbers that make calls overlap, and numbers at the ends of the address space.
fn wild() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..40 * PAGE,
        2 => (0_u64..40).prop_map(|page| page * PAGE),
        1 => any::<u64>(),
        1 => (0_u64..5 * PAGE).prop_map(|back| u64::MAX - back),
    ]
}
