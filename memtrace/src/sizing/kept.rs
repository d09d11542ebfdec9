//! A baseline: what is kept under a name to compare with later. A saved run, or a side made of history or of a look.
//!
//! JSON of at most [`MOST_BYTES`] <-> [`Kept`]. Pure. docs/baseline.md describes both forms.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    diff::{
        interval::selection,
        side::{Origin, Side},
    },
    saved::{self, Damaged, MOST_BYTES, Saved},
};
use crate::units::Bytes;

/// The version of the form of sides; that of saved runs is older.
pub const SCHEMA: u32 = 2;

/// A baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Kept {
    /// A run.
    Run(Box<Saved>),
    /// Anything else.
    Side(Box<KeptSide>),
}

/// A side under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptSide {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Its name.
    pub name: String,
    /// When it was saved.
    pub saved: Timestamp,
    /// The version of memtrace that saved it.
    pub version: String,
    /// What was measured.
    pub side: Side,
}

impl From<Saved> for Kept {
    fn from(saved: Saved) -> Self {
        Self::Run(Box::new(saved))
    }
}

impl Kept {
    /// A side as a baseline; its least important parts are left out until it fits.
    pub fn of(mut side: Side, name: &str, now: Timestamp) -> Self {
        for series in &mut side.figures {
            let kept = selection(series.samples.len());
            series.samples =
                kept.into_iter().filter_map(|index| series.samples.get(index).copied()).collect();
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        side.name = name.to_owned();
        let mut kept = KeptSide { schema: SCHEMA, name: name.to_owned(), saved: now, version, side };
        while serde_json::to_vec(&kept).is_ok_and(|bytes| bytes.len() > MOST_BYTES) {
            let Some(made_of) = kept.side.made_of.as_mut() else { break };
            if made_of.stacks.pop().is_some() {
                made_of.stacks_left_out += 1;
            } else {
                kept.side.made_of = None;
            }
        }
        Self::Side(Box::new(kept))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Run(saved) => &saved.name,
            Self::Side(kept) => &kept.name,
        }
    }

    /// The same under another name.
    pub fn renamed(mut self, name: &str) -> Self {
        match &mut self {
            Self::Run(saved) => saved.name = name.to_owned(),
            Self::Side(kept) => {
                kept.name = name.to_owned();
                kept.side.name = name.to_owned();
            }
        }
        self
    }

    /// The side that it is.
    pub fn side(&self) -> Side {
        match self {
            Self::Run(saved) => Side::of_saved(saved),
            Self::Side(kept) => {
                let mut side = kept.side.clone();
                side.what.push_str(&format!(", saved {}", kept.saved.strftime("%F %R UTC")));
                side
            }
        }
    }

    /// Its stored form; `None` if it does not fit.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|bytes| bytes.len() <= MOST_BYTES)
    }

    /// From the stored form.
    ///
    /// # Errors
    /// See [`Damaged`].
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        if bytes.len() > MOST_BYTES {
            return Err(Damaged::Form(format!("it is larger than {}", Bytes(MOST_BYTES as u64))));
        }
        let form = |error: serde_json::Error| Damaged::Form(error.to_string());
        let Version { schema } = serde_json::from_slice(bytes).map_err(form)?;
        match schema {
            ..=saved::SCHEMA => Saved::read(bytes).map(Self::from),
            SCHEMA => {
                let kept: KeptSide = serde_json::from_slice(bytes).map_err(form)?;
                kept.check()?;
                Ok(Self::Side(Box::new(kept)))
            }
            newer => Err(Damaged::Newer(newer)),
        }
    }
}

impl KeptSide {
    /// What a comparison relies on, and no parser checks: times in order, and bytes that there can be.
    fn check(&self) -> Result<(), Damaged> {
        let is_ordered = |side: &Side| {
            side.figures.iter().all(|series| series.samples.is_sorted_by_key(|sample| sample.at))
        };
        if !is_ordered(&self.side) {
            return Err(Damaged::Form("its values are not in the order of time".to_owned()));
        }
        let most = crate::sizing::diff::side::MOST;
        let samples =
            self.side.figures.iter().flat_map(|series| &series.samples).map(|sample| sample.bytes.0);
        if samples.chain(self.side.kinds.iter().map(|kind| kind.bytes.0)).any(|bytes| bytes > most) {
            return Err(Damaged::Form("it has more bytes than there can be: is it in bytes?".to_owned()));
        }
        let is_run = self.side.origin == Origin::Run;
        if is_run { Err(Damaged::Form("a run has version 1 of the form".to_owned())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizing::{
        diff::side::{Figure, MOST, Sample, Series},
        made_of::{MadeOf, Stack},
        run::fixture::{page, run},
    };

    fn side() -> Side {
        let sample = |at| Sample { at, bytes: Bytes(MOST), load: Some(0.123_456_789) };
        let stack = |number: u64| Stack { bytes: Bytes(number), frames: vec!["f".repeat(100); 12] };
        Side {
            name: "web@1d".to_owned(),
            what: "the workload web".to_owned(),
            origin: Origin::History,
            program: Some("web".to_owned()),
            version: None,
            figures: vec![Series { figure: Figure::FirmLevel, samples: (0..10_080).map(sample).collect() }],
            kinds: Vec::new(),
            page_cache_bytes: None,
            made_of: Some(MadeOf {
                at: 0.0,
                total_bytes: None,
                parts: Vec::new(),
                remainder_bytes: None,
                programs: Vec::new(),
                allocators: Vec::new(),
                stacks: (0..64).map(stack).collect(),
                stacks_left_out: 0,
            }),
            kills: 0,
            restarts: 0,
        }
    }

    #[test]
    fn both_forms_come_back_and_fit() {
        let run = Kept::from(Saved::of(&page(run(64 << 20)), "a", Timestamp::UNIX_EPOCH).unwrap());
        let side = Kept::of(side(), "a", Timestamp::UNIX_EPOCH);
        for kept in [run, side] {
            let bytes = kept.bytes().unwrap();
            assert_eq!(Kept::read(&bytes).unwrap(), kept);
            let other = kept.renamed("b");
            assert_eq!((other.name(), other.side().name.as_str()), ("b", "b"));
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let Kept::Side(kept) = Kept::of(side(), "a", Timestamp::UNIX_EPOCH) else { panic!() };
        let made_of = kept.side.made_of.unwrap();
        assert!(made_of.stacks.len() > 3 && made_of.stacks.len() + made_of.stacks_left_out == 64);
        assert!((90..=96).contains(&kept.side.figures[0].samples.len()));
    }

    #[test]
    fn other_forms_are_refused() {
        let text = String::from_utf8(Kept::of(side(), "a", Timestamp::UNIX_EPOCH).bytes().unwrap()).unwrap();
        let read = |text: &str| Kept::read(text.as_bytes());
        assert!(matches!(read(&text.replacen(":2,", ":3,", 1)), Err(Damaged::Newer(3))));
        for wrong in [
            text.replacen(":2,", ":1,", 1),
            text.replacen(&MOST.to_string(), &u64::MAX.to_string(), 1),
            text.replacen("\"at\":0", "\"at\":999999", 1).replacen("\"at\":1", "\"at\":999999", 1),
            text.replacen("\"history\"", "\"run\"", 1),
            text.replacen("firm_level", "of_the_future", 1),
            "{\"schema\":2}".to_owned(),
            String::new(),
        ] {
            assert!(matches!(read(&wrong), Err(Damaged::Form(_))), "{wrong:.80}");
        }
    }
}
