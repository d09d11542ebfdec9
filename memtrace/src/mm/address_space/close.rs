//! Adjusts the estimates between two page-table scans to the kernel's own totals.
//!
//! A sampled fault stands for many others, each of which may be a huge page. So the estimate of one region can be far
//! off, while the kernel knows the exact sum. The difference is distributed by each region's uncertainty: the square of
//! the pages that one of its samples stands for, once per sample and once more for faults that were not sampled. Each
//! adjustment first undoes the previous one, so errors do not accumulate. No region gets more than it has room for or
//! loses measured pages; a remainder that fits nowhere is shown as such.

use super::{
    AddressSpace,
    span::{Span, Traits},
};
use crate::{
    mm::region::Prot,
    units::{Bytes, Grade},
};

/// The most regions whose guesses are kept, to bound memory.
const MOST: usize = 1024;
/// The most rounds of distribution; each round skips regions that are full.
const ROUNDS: usize = 16;

/// The parts of a region's estimate since its page tables were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guess {
    /// Pages that samples added.
    sampled: u64,
    /// Pages added or removed to match the kernel's total.
    closed: i64,
    /// The sum, over the samples, of the squared number of pages that each stands for.
    spread: u64,
}

/// Pages, by how the kernel counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Pages private to the process (anonymous).
    pub private: i64,
    /// Pages of files and shared memory.
    pub shared: i64,
}

impl Kinds {
    /// From all resident bytes and the shared ones among them.
    pub fn of(page: u64, resident: u64, shared: u64) -> Self {
        let pages = |bytes: u64| i64::try_from(bytes.checked_div(page).unwrap_or(0)).unwrap_or(i64::MAX);
        let shared_pages = pages(shared);
        Self { private: pages(resident.saturating_sub(shared)), shared: shared_pages }
    }

    /// The sum of both.
    pub const fn sum(self) -> i64 {
        self.private.saturating_add(self.shared)
    }

    /// The difference `self - other`.
    pub const fn above(self, other: Self) -> Self {
        Self {
            private: self.private.saturating_sub(other.private),
            shared: self.shared.saturating_sub(other.shared),
        }
    }
}

/// A region that may get a part of the difference.
struct Share {
    start: u64,
    weight: u64,
    room: u64,
    given: u64,
}

impl AddressSpace {
    /// Pages that the regions account for.
    pub fn kinds(&self) -> Kinds {
        Kinds::of(self.geometry.page, self.totals.resident.0, self.totals.shared.0)
    }

    /// Records that a sample added `added` pages to a region and stood for `stood_for` pages.
    pub(super) fn guess(&mut self, start: u64, added: u64, stood_for: u64) {
        if self.guesses.len() >= MOST && !self.guesses.contains_key(&start) {
            return;
        }
        let guess = self.guesses.entry(start).or_default();
        guess.sampled = guess.sampled.saturating_add(added);
        guess.spread = guess.spread.saturating_add(stood_for.saturating_mul(stood_for));
    }

    /// Page tables were read: drops all guesses.
    pub(super) fn forget_guesses(&mut self) {
        let mut guesses = std::mem::take(&mut self.guesses);
        guesses.retain(|at, _| self.find(*at).is_some_and(|(_, span)| !span.held.was_read()));
        self.guesses = guesses;
    }

    /// Adjusts the estimates to the kernel's total. Returns the remainder that fits nowhere; negative when the regions
    /// account for too much.
    pub fn close(&mut self, total: Kinds) -> Kinds {
        // `moved` triggers scans, and an adjustment must not trigger one.
        let moved = self.moved;
        self.reopen();
        let Kinds { private, shared } = total.above(self.kinds());
        let left = Kinds { private: self.share_out(true, private), shared: self.share_out(false, shared) };
        self.moved = moved;
        left
    }

    /// Undoes the previous adjustment.
    fn reopen(&mut self) {
        let mut guesses = std::mem::take(&mut self.guesses);
        for (at, guess) in &mut guesses {
            let closed = std::mem::take(&mut guess.closed);
            if closed == 0 {
                continue;
            }
            let Some((start, span)) = self.find(*at) else { continue };
            let (page, is_private) = (self.geometry.page, span.traits.is_anonymous());
            let pages = closed.unsigned_abs();
            self.rehold(start, |held, all| match closed > 0 {
                true => held.retract(pages),
                false => held.add(pages, all, is_private, page, Grade::Sampled),
            });
        }
        // Drop the guesses of regions that were unmapped.
        guesses.retain(|at, guess| guess.spread > 0 && self.find(*at).is_some());
        self.guesses = guesses;
    }

    /// Distributes the missing pages of a kind, or removes the surplus if `missing` is negative. Returns the remainder.
    fn share_out(&mut self, is_private: bool, missing: i64) -> i64 {
        let mut shares = match missing {
            0 => return 0,
            1.. => self.may_have_grown(is_private),
            _ => self.may_be_too_much(is_private),
        };
        let left = fill(missing.unsigned_abs(), &mut shares);
        let page = self.geometry.page;
        for Share { start, given, .. } in shares.into_iter().filter(|share| share.given > 0) {
            let has_room = self.guesses.len() < MOST || self.guesses.contains_key(&start);
            if !has_room {
                continue; // the previous adjustment could not be undone
            }
            let guess = self.guesses.entry(start).or_default();
            let grade = if guess.spread > 0 { Grade::Sampled } else { Grade::Inferred };
            let pages = self.rehold(start, |held, all| match missing > 0 {
                true => held.add(given, all, is_private, page, grade),
                false => held.retract(given),
            });
            let pages = i64::from(pages.unwrap_or_default());
            if let Some(guess) = self.guesses.get_mut(&start) {
                guess.closed = if missing > 0 { pages } else { -pages };
            }
        }
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        if missing > 0 { left } else { -left }
    }

    /// Regions that may have grown without a sample: those with samples, those never measured, and those where one
    /// fault brings a huge page.
    fn may_have_grown(&self, is_private: bool) -> Vec<Share> {
        let huge = self.count(self.geometry.huge);
        let of_span = |(start, span): (&u64, &Span)| {
            let Traits { prot, is_hugetlb, .. } = *span.traits;
            if is_hugetlb || prot == Prot::NONE || span.traits.is_anonymous() != is_private {
                return None;
            }
            let room = self.count(span.end - start).saturating_sub(span.held.pages.into());
            let sampled = self.guesses.range(start..&span.end).map(|(_, guess)| guess.spread);
            let sampled = sampled.fold(0, u64::saturating_add);
            let is_huge = self.may_be_huge(*start, span);
            if room == 0 || (sampled == 0 && span.held.was_read() && !is_huge) {
                return None;
            }
            let last = span.end.saturating_sub(self.geometry.page);
            let worth = if is_huge { huge } else { self.worth(*start, span, last) };
            let unit = self.period.saturating_mul(worth);
            Some(Share {
                start: *start,
                weight: sampled.saturating_add(unit.saturating_mul(unit)),
                room,
                given: 0,
            })
        };
        self.spans.iter().filter_map(of_span).collect()
    }

    /// Regions that may have grown less than their samples suggest.
    fn may_be_too_much(&self, is_private: bool) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        for (at, guess) in &self.guesses {
            let Some((start, span)) = self.find(*at) else { continue };
            if span.traits.is_hugetlb || span.traits.is_anonymous() != is_private {
                continue;
            }
            let held = u64::from(span.held.pages);
            match shares.last_mut().filter(|last| last.start == start) {
                // Regions that were joined since the guess.
                Some(last) => {
                    last.weight = last.weight.saturating_add(guess.spread);
                    last.room = last.room.saturating_add(guess.sampled).min(held);
                }
                None => shares.push(Share {
                    start,
                    weight: guess.spread,
                    room: guess.sampled.min(held),
                    given: 0,
                }),
            }
        }
        shares
    }

    /// Whether one fault in a region can bring a huge page: huge pages are enabled there, and one fits.
    fn may_be_huge(&self, start: u64, span: &Span) -> bool {
        let first = start.checked_next_multiple_of(self.geometry.huge);
        let fits = || {
            first.and_then(|first| span.end.checked_sub(first)).is_some_and(|left| left >= self.geometry.huge)
        };
        self.wants_huge(&span.traits) && fits()
    }

    /// Whether a region uses huge pages, so that it can grow by much without a sampled fault.
    pub fn may_grow_unseen(&self) -> bool {
        self.spans.iter().any(|(start, span)| {
            span.traits.prot != Prot::NONE
                && self.may_be_huge(*start, span)
                && self.count(span.end - start) >= u64::from(span.held.pages) + self.count(self.geometry.huge)
        })
    }

    /// Bytes of the absolute number of pages.
    pub fn bytes_of(&self, pages: i64) -> Bytes {
        Bytes(pages.unsigned_abs().saturating_mul(self.geometry.page))
    }
}

/// Gives every share its part by weight, up to its room. Returns the pages that fit nowhere.
fn fill(mut rest: u64, shares: &mut [Share]) -> u64 {
    for _ in 0..ROUNDS {
        let open = shares.iter().filter(|share| share.given < share.room);
        let all: u128 = open.map(|share| u128::from(share.weight)).sum();
        if rest == 0 || all == 0 {
            break;
        }
        let round = rest;
        for share in shares.iter_mut() {
            let part = u128::from(round).saturating_mul(share.weight.into()).checked_div(all);
            let part = part.and_then(|part| u64::try_from(part).ok()).unwrap_or(0);
            let given = part.min(share.room.saturating_sub(share.given)).min(rest);
            share.given += given;
            rest -= given;
        }
        if rest == round {
            break;
        }
    }
    // Pages lost to rounding.
    for share in shares {
        let given = rest.min(share.room.saturating_sub(share.given));
        share.given += given;
        rest -= given;
    }
    rest
}

#[cfg(test)]
#[path = "tests/close.rs"]
mod tests;
