//! Scans in a reader process, piece by piece.
//!
//! Jobs -> requests -> scans, or why there is none. A scan whose process was lost begins again; the one during which
//! processes die repeatedly is blamed.

use super::PATIENCE;
use crate::{
    clock,
    model::scan::{Depth, Scan},
    reader::{
        NotRead,
        job::{Job, Progress, Ticket},
        pool::session::Line,
        protocol::{Answer, Ask, Piece, Step},
        wire::scan::{Begin, Detail},
    },
};

/// The most reader processes that may die during one scan; the last one quarantines what it read.
const MOST_DEATHS: u32 = 2;

/// Scans through this line.
pub struct Scans<L> {
    line: L,
}

impl<L: Line> Scans<L> {
    pub const fn new(line: L) -> Self {
        Self { line }
    }

    /// Ends the process if it was not used since the last call.
    pub fn rest(&mut self) {
        self.line.rest();
    }

    /// Does one piece of a scan. Returns the finished scan, or the job to continue with.
    pub fn scan(&mut self, mut job: Job) -> Result<Scan, Box<Job>> {
        let pid = job.pid();
        match self.step(&mut job) {
            Ok(Some(scan)) => Ok(scan),
            Ok(None) => Err(Box::new(job)),
            // It may have died before, or on another scan that it had under way.
            Err(NotRead::Died(_)) if job.deaths < MOST_DEATHS => {
                (job.deaths, job.progress) = (job.deaths + 1, Progress::Asked);
                Err(Box::new(job))
            }
            Err(why) => {
                if let Some(whom) = job.whom.filter(|_| matches!(why, NotRead::Died(_))) {
                    self.line.blame(whom, &why);
                }
                Ok(self.unread(pid, &why))
            }
        }
    }

    /// Sends the next step of a scan.
    fn step(&mut self, job: &mut Job) -> Result<Option<Scan>, NotRead> {
        let pid = job.pid();
        if matches!(&job.progress, Progress::Far(ticket) if ticket.session != self.line.number()) {
            job.progress = Progress::Asked;
        }
        let step = match (&job.progress, &job.request.depth) {
            (Progress::Far(ticket), Depth::Pages { regions, evidence, .. }) if ticket.wants_detail => {
                Step::Detail(ticket.number, Some(Box::new(Detail::pack(regions, evidence.as_ref()))))
            }
            (Progress::Far(ticket), _) => Step::GoOn(ticket.number),
            (Progress::Asked | Progress::Near(_), _) => {
                job.whom = Some(self.line.check(pid)?);
                Step::Begin(Box::new(Begin::pack(&job.request, job.counters, job.tries)))
            }
        };
        let whom = job.whom.map_or_else(|| self.line.check(pid), Ok)?;
        let answer = match (self.line.ask(whom, &Ask::Scan(pid, step), PATIENCE), &job.progress) {
            // Too many regions for counters.
            (Err(NotRead::TooLarge), Progress::Far(Ticket { number, wants_detail: true, .. })) => {
                self.line.ask(whom, &Ask::Scan(pid, Step::Detail(*number, None)), PATIENCE)
            }
            (answer, _) => answer,
        };
        let far = |session, number, wants_detail| Progress::Far(Ticket { session, number, wants_detail });
        match answer? {
            Answer::Scan(Piece::More(number)) => job.progress = far(self.line.number(), number, false),
            Answer::Scan(Piece::Wants(number)) => job.progress = far(self.line.number(), number, true),
            Answer::Scan(Piece::Done(scan)) => {
                return scan.unpack(pid, job.request.room).map(Some).ok_or_else(NotRead::protocol_error);
            }
            // It had too many scans under way.
            Answer::Scan(Piece::Unknown) if job.is_begun() => {
                (job.progress, job.deaths) = (Progress::Asked, job.deaths + 1);
                if job.deaths > MOST_DEATHS {
                    return Err(NotRead::protocol_error());
                }
            }
            _ => return Err(NotRead::protocol_error()),
        }
        Ok(None)
    }

    /// A scan that could not be made.
    fn unread(&self, pid: u32, why: &NotRead) -> Scan {
        let not_read = match why {
            NotRead::Gone => None,
            why => {
                self.line.count(why);
                Some(why.to_string())
            }
        };
        Scan { at: clock::ktime(), not_read, ..Scan::empty(pid) }
    }
}
