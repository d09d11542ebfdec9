//! Request and limit from runs, by the formulas of [`advise`](super::super::advise): each run stands for a day.
//!
//! [`Run`]s -> [`Advised`], or why there is none. Pure.

use serde::{Deserialize, Serialize};

use super::Run;
use crate::{
    sizing::{
        advise::{MarginFrom, Terms},
        days::{Day, ROWS},
    },
    units::{Bytes, Grade},
};

/// What the runs say of a request and a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advised {
    /// P + C + m, a multiple of 1 MiB.
    pub limit_bytes: Bytes,
    /// The median of the runs' highest firm memory, and C.
    pub request_bytes: Bytes,
    /// P: the highest firm memory, between readings too.
    pub peak_bytes: Bytes,
    /// C: the active page cache at the peak; `None` where the kernel did not tell.
    pub cache_bytes: Option<Bytes>,
    /// m.
    pub margin_bytes: Bytes,
    /// Where m comes from, in words.
    pub margin_from: String,
    /// The runs that it is made of.
    pub runs: usize,
    /// P is made of the kernel's mark and a reading nearby.
    pub grade: Grade,
}

impl Advised {
    /// Of runs that went to their end by themselves.
    ///
    /// # Errors
    /// Why they say nothing of a limit.
    pub fn of(runs: &[Run]) -> Result<Self, String> {
        if let Some(why) = runs.iter().find_map(hides_its_need) {
            return Err(why);
        }
        let days: Option<Vec<Day>> = (1..).zip(runs).map(|(number, run)| day(number, run)).collect();
        let days = days.ok_or("its memory was not read before it ended")?;
        let terms = Terms::of(&days).ok_or("nothing was run")?;
        Ok(Self {
            limit_bytes: terms.limit(),
            request_bytes: terms.request(),
            peak_bytes: terms.peak.bytes,
            cache_bytes: terms.cache.map(|cache| cache.high_bytes),
            margin_bytes: terms.margin.bytes,
            margin_from: from(terms.margin_from).to_owned(),
            runs: runs.len(),
            grade: Grade::Inferred,
        })
    }
}

/// Why a run does not show what its command needs.
fn hides_its_need(run: &Run) -> Option<String> {
    if run.was_killed() {
        return Some("it was killed for memory; --find-limit finds the least limit that works".to_owned());
    }
    if run.limit_hits.is_some_and(|hits| hits > 0) {
        return Some("it reached a limit, which may hide its true peak; run it without one".to_owned());
    }
    if run.end.code() != 0 {
        return Some("it failed, and may not have used what it needs".to_owned());
    }
    let leak = run.course.leak.as_ref();
    leak.map(|leak| format!("it grows, so that no limit fits a longer run: {leak}"))
}

fn day(number: u32, run: &Run) -> Option<Day> {
    let active = run.at_peak.as_ref().and_then(|reading| reading.charge.active_file_bytes);
    Some(Day {
        number,
        rows: ROWS,
        peak: Some(run.firm_crest()?),
        active_cache: active.map(|active| (active, active)),
        ..Day::default()
    })
}

fn from(margin: MarginFrom) -> &'static str {
    match margin {
        MarginFrom::Days => "its runs differ",
        MarginFrom::Highest => "one run is so far above the others",
        MarginFrom::Rise => "it rises so fast",
        MarginFrom::Least => "2 %",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cgroup::charge::Charge,
        sizing::run::{End, Reading, fixture::run},
    };

    /// A run with this firm memory and active page cache, in MiB.
    fn of(firm: u64, active: u64) -> Run {
        let mib = |mib: u64| Some(Bytes(mib << 20));
        let charge = Charge {
            usage_bytes: mib(firm + active),
            peak_bytes: mib(firm + active),
            anon_bytes: mib(firm),
            active_file_bytes: mib(active),
            inactive_file_bytes: mib(0),
            ..Charge::default()
        };
        let mut run = run((firm + active) << 20);
        run.course.firm_peak_bytes = mib(firm);
        run.at_peak = Some(Reading { at: 1.0, charge });
        run
    }

    #[test]
    fn a_single_run_has_the_least_margin() {
        let one = Advised::of(&[of(500, 20)]).unwrap();
        assert_eq!((one.peak_bytes, one.cache_bytes), (Bytes(500 << 20), Some(Bytes(20 << 20))));
        assert_eq!((one.limit_bytes, one.request_bytes), (Bytes(530 << 20), Bytes(520 << 20)));
    }

    #[test]
    fn runs_that_differ_widen_the_margin() {
        // The median is 110, the median deviation 10: m = 44 MiB.
        let three = Advised::of(&[of(100, 0), of(110, 0), of(120, 0)]).unwrap();
        assert_eq!((three.limit_bytes, three.request_bytes), (Bytes(164 << 20), Bytes(110 << 20)));
        assert_eq!((three.runs, three.margin_from.as_str()), (3, "its runs differ"));
        let far = Advised::of(&[of(100, 0), of(100, 0), of(100, 0), of(150, 0)]).unwrap();
        assert_eq!(far.limit_bytes, Bytes(200 << 20));
    }

    #[test]
    fn a_run_that_hides_its_need_gives_no_number() {
        let why = |change: &dyn Fn(&mut Run)| {
            let mut run = of(100, 0);
            change(&mut run);
            Advised::of(&[of(100, 0), run]).unwrap_err()
        };
        assert!(why(&|run| run.oom_kills = Some(1)).contains("--find-limit"));
        assert!(why(&|run| run.limit_hits = Some(3)).contains("without one"));
        assert!(why(&|run| run.end = End::Exited(1)).contains("failed"));
        assert!(why(&|run| run.course.leak = Some("1 MiB/s".to_owned())).contains("1 MiB/s"));
        assert!(why(&|run| *run = fixture_unread()).contains("not read"));
        assert!(Advised::of(&[]).is_err());
    }

    fn fixture_unread() -> Run {
        run(1 << 20)
    }
}
