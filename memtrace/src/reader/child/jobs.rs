//! The scans under way in a reader process.
//!
//! Steps -> pieces. Bounded: with too many scans the oldest is given up, and begun again by the daemon.

use std::collections::VecDeque;

use crate::{
    model,
    reader::{
        Local,
        protocol::{Piece, Step},
        scan::Work,
        wire::scan::Scan,
    },
};

/// The most scans under way; the scanner begins a few at a time.
const MOST: usize = 64;

/// Scans under way, the oldest first.
#[derive(Default)]
pub struct Jobs {
    open: VecDeque<(u64, u32, Box<Work>)>,
    number: u64,
}

impl Jobs {
    /// Does one step of the scan of a process.
    pub fn step(&mut self, local: &mut Local, pid: u32, step: Step) -> Piece {
        match step {
            Step::Begin(begin) => {
                let (room, counters, tries) = (begin.room, begin.counters(), begin.tries);
                let Some(plan) = begin.plan() else { return Piece::Unknown };
                self.number += 1;
                self.piece(local, pid, self.number, Work::new(pid, plan, room, counters, tries))
            }
            Step::GoOn(number) => match self.take(pid, number) {
                Some(work) => self.piece(local, pid, number, *work),
                None => Piece::Unknown,
            },
            Step::Detail(number, detail) => {
                let Some(mut work) = self.take(pid, number) else { return Piece::Unknown };
                let detail = detail.and_then(|detail| detail.unpack());
                let detail = detail.map(|detail| local.complete(pid, detail));
                match work.go_on(detail) {
                    Some(scan) => done(&scan),
                    None => self.piece(local, pid, number, *work),
                }
            }
        }
    }

    fn piece(&mut self, local: &mut Local, pid: u32, number: u64, work: Work) -> Piece {
        match local.piece(work) {
            Ok(scan) => done(&scan),
            Err(work) => {
                let wants = work.wants_detail();
                if self.open.len() >= MOST {
                    self.open.pop_front();
                }
                self.open.push_back((number, pid, work));
                if wants { Piece::Wants(number) } else { Piece::More(number) }
            }
        }
    }

    fn take(&mut self, pid: u32, number: u64) -> Option<Box<Work>> {
        let place = self.open.iter().position(|(of, whose, _)| (*of, *whose) == (number, pid))?;
        self.open.remove(place).map(|(.., work)| work)
    }
}

fn done(scan: &model::scan::Scan) -> Piece {
    Piece::Done(Box::new(Scan::pack(scan)))
}
