//! Why allocators retain free memory, and how to make them retain less.
//!
//! Facts about an allocator -> sentences and settings. Pure. A setting has the prefix of this program's build, and is
//! given only where the evidence supports it.

mod server;

use serde::{Deserialize, Serialize};

use super::{
    AllocatorId,
    counters::{Counters, Setting},
};
use crate::units::Bytes;

/// An action that the evidence supports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// In one sentence.
    pub text: String,
    /// The exact setting, when there is one: `MALLOC_ARENA_MAX=2`.
    pub setting: Option<String>,
}

impl Remedy {
    /// The sentence, and the setting to copy. A setting that is only a number of bytes is put into the sentence
    /// instead.
    pub fn words(&self) -> (String, Option<&str>) {
        let Self { text, setting } = self;
        match setting.as_deref() {
            Some(bytes) if !bytes.is_empty() && bytes.bytes().all(|byte| byte.is_ascii_digit()) => {
                (format!("{text} ({bytes} bytes)"), None)
            }
            setting => (text.clone(), setting),
        }
    }
}

impl Remedy {
    /// A remedy with a setting.
    pub fn setting(text: &str, setting: &str) -> Self {
        Self { text: text.to_owned(), setting: Some(setting.to_owned()) }
    }
}

/// A background thread of the allocator. Its name shows that it runs, and thus the value of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Helper {
    /// Name of the thread.
    pub thread: &'static str,
    /// Name of the setting that is `true` while it runs.
    pub setting: &'static str,
}

/// The most that a runtime lets a part of its memory grow to, as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The part: `the Java heap`.
    pub part: &'static str,
    /// The most; `None` if there is no bound, though the runtime has one to set.
    pub most: Option<Bytes>,
    /// Who set it, in the runtime's own terms: `-Xmx512m`, `GOGC=off without GOMEMLIMIT`.
    pub set_by: String,
    /// The allocator and kind of the rows that hold it; the kind may be [`Self::ANY_KIND`].
    pub rows: (&'static str, &'static str),
    /// What the part held when its counters were read, resident; 0 where only rows tell.
    pub held: Bytes,
    /// The form of its setting.
    pub form: Form,
    /// What its setting does not bound.
    pub beside: Beside,
}

/// The part of a ceiling that its setting does not bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The part of `most` that may not be there, because a default is only known within limits.
    pub unsure: Bytes,
    /// What comes on top of an advised setting.
    pub advised: Bytes,
}

/// How a setting says a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Whole MiB between these words.
    Mib(&'static str, &'static str),
    /// Bytes in hexadecimal after this word.
    Hex(&'static str),
}

impl Ceiling {
    /// In place of a kind: all rows of the allocator.
    pub const ANY_KIND: &'static str = "";

    /// What it may grow to without doubt; `None` if there is no bound.
    pub fn sure(&self) -> Option<Bytes> {
        self.most.map(|most| Bytes(most.0.saturating_sub(self.beside.unsure.0)))
    }

    /// The setting for another bound, in whole MiB.
    pub fn bounded(&self, most: Bytes) -> String {
        let mib = (most.0.saturating_sub(self.beside.advised.0) >> 20).max(1);
        match self.form {
            Form::Mib(before, after) => format!("{before}{mib}{after}"),
            Form::Hex(before) => format!("{before}{:x}", mib << 20),
        }
    }
}

/// How an allocator retains memory.
pub trait Advice: Sync {
    /// The most that it may hold under this limit, if its runtime has a setting for it.
    fn ceiling(&self, _of: &Counters, _limit: Option<Bytes>) -> Option<Ceiling> {
        None
    }

    /// Where its free memory is, in its own terms; `None` means "in the allocator".
    fn place(&self) -> Option<&'static str> {
        None
    }

    /// Why it stays there.
    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "the allocator keeps them for new allocations".to_owned()
    }

    /// Settings that would change it, the most effective first; empty when none is known.
    fn remedies(&self, _kept: &Keeper<'_>) -> Vec<Remedy> {
        Vec::new()
    }

    /// Its settings that explain the retention, or show whether it can change.
    fn telling(&self) -> &'static [&'static str] {
        &[]
    }

    /// The background thread that gives memory back.
    fn helper(&self) -> Option<Helper> {
        None
    }
}

/// The advice for an unknown allocator.
pub struct Plain;

impl Advice for Plain {}

/// An allocator that retains memory.
#[derive(Clone, Copy, Debug)]
pub struct Keeper<'a> {
    /// Its name, as in its rows.
    pub allocator: &'a str,
    /// Its configuration, as far as read.
    pub settings: &'a [Setting],
    /// Number of its arenas.
    pub arenas: usize,
    /// The limit that applies to its program.
    pub limit: Option<Bytes>,
}

impl<'a> Keeper<'a> {
    /// The allocator of these counters.
    pub fn of(counters: &'a Counters, limit: Option<Bytes>) -> Self {
        let Counters { allocator, settings, arenas, .. } = counters;
        Self { allocator, settings, arenas: arenas.len(), limit }
    }

    /// The value of a setting, if read.
    pub fn setting(&self, name: &str) -> Option<&'a str> {
        self.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }

    /// The same as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.setting(name)?.parse().ok()
    }

    /// Where its free memory is.
    pub fn place(&self) -> &'a str {
        self.advice().place().unwrap_or(self.allocator)
    }

    /// Why it stays there.
    pub fn reason(&self) -> String {
        self.advice().reason(self)
    }

    /// Settings that would change it, the most effective first; empty when none is known.
    pub fn remedies(&self) -> Vec<Remedy> {
        self.advice().remedies(self)
    }

    /// The settings that explain the retention, or show whether it can change.
    pub fn telling(&self) -> impl Iterator<Item = &'a Setting> + use<'a> {
        let telling = self.advice().telling();
        self.settings.iter().filter(move |setting| telling.contains(&setting.name.as_str()))
    }

    fn advice(&self) -> &'static dyn Advice {
        advice(self.allocator)
    }
}

/// There is no advice for a name from a newer version.
fn advice(allocator: &str) -> &'static dyn Advice {
    AllocatorId::named(allocator).map_or(&Plain, |id| id.allocator().advice())
}

/// The ceiling of the runtime whose counters these are, or of the server that uses this allocator.
pub fn ceiling(of: &Counters, limit: Option<Bytes>) -> Option<Ceiling> {
    advice(&of.allocator).ceiling(of, limit).or_else(|| server::ceiling(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKGROUND: &str = "background_thread";

    fn settings(keeper: Keeper<'_>) -> Vec<String> {
        keeper.remedies().into_iter().filter_map(|remedy| remedy.setting).collect()
    }

    fn keeper<'a>(allocator: &'a str, settings: &'a [Setting]) -> Keeper<'a> {
        Keeper { allocator, settings, arenas: 1, limit: Some(Bytes(1000 << 20)) }
    }

    fn seen(name: &str, value: &str) -> [Setting; 1] {
        [Setting { name: name.to_owned(), value: value.to_owned() }]
    }

    #[test]
    fn the_setting_is_the_one_of_this_build() {
        let prefixed = seen("environment", "_RJEM_MALLOC_CONF");
        let named = settings(keeper("jemalloc", &prefixed));
        assert_eq!(named, ["_RJEM_MALLOC_CONF=background_thread:true,dirty_decay_ms:1000"]);
        assert_eq!(settings(keeper("go", &seen("GOMEMLIMIT", "off"))), ["GOMEMLIMIT=900MiB"]);
        let periodic = "-XX:G1PeriodicGCInterval=30000 -XX:MaxHeapFreeRatio=30";
        assert_eq!(settings(keeper("jvm", &seen("collector", "G1"))), [periodic]);
    }

    #[test]
    fn what_is_set_already_or_would_not_help_is_not_advised() {
        assert!(settings(keeper("jemalloc", &seen(BACKGROUND, "true"))).is_empty());
        assert!(settings(keeper("go", &seen("GOMEMLIMIT", "800000000"))).is_empty());
        assert!(settings(keeper("glibc", &seen("mmap_threshold", "131072"))).is_empty());
        assert!(settings(keeper("jvm", &seen("collector", "Serial"))).is_empty());
        let set = [seen("collector", "G1"), seen("arguments", "-XX:G1PeriodicGCInterval=9000")].concat();
        assert!(settings(keeper("jvm", &set)).is_empty());
    }

    /// Each was tried with the load that keeps most: `arenas-glibc` and `spans-tcmalloc` of the incident bench.
    #[test]
    fn what_gives_memory_back_comes_first() {
        let many = Keeper { arenas: 8, ..keeper("glibc", &[]) };
        assert_eq!(settings(many), ["MALLOC_ARENA_MAX=2"]);
        let [first, second] = &many.remedies()[..] else { panic!("{:?}", many.remedies()) };
        assert!(first.text.contains("malloc_trim(0)") && first.setting.is_none(), "{first:?}");
        assert!(second.text.contains("at once it gives nothing back"), "{second:?}");
        assert_eq!(settings(keeper("tcmalloc", &[])), ["TCMALLOC_AGGRESSIVE_DECOMMIT=t"]);
    }
}
