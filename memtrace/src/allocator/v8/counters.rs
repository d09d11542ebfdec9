//! V8's heap limit, as it was given on the command line or in `NODE_OPTIONS`.
//!
//! Input: a process with V8. Output: settings. V8's own figures have no stable layout and are not read. Node reads
//! `NODE_OPTIONS` first, so the command line overrides it.

use crate::allocator::{
    AllocatorId,
    counters::{Absent, CounterReader, Counters, Setting, Target, launch::Launch},
    evidence::{Mark, ProcessEvidence},
};

/// MiB of the old generation.
pub const OLD: &str = "--max-old-space-size";
/// MiB of a semi-space of the young generation.
pub const SEMI: &str = "--max-semi-space-size";
/// Where the old generation's maximum was given.
pub const SET_BY: &str = "set by";
const VARIABLE: &str = "NODE_OPTIONS";

/// The reader.
pub struct V8;

impl CounterReader for V8 {
    fn name(&self) -> &'static str {
        AllocatorId::V8.name()
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::V8)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let mut counters = Counters {
            allocator: self.name().to_owned(),
            missing: vec!["V8's own figures: they have no stable layout".to_owned()],
            ..Counters::default()
        };
        let Some(launch) = Launch::read(target) else {
            counters.missing.push("its command line and environment: they are not resident".to_owned());
            return Ok(counters);
        };
        for name in [OLD, SEMI] {
            let by_argument = launch.argument(name);
            let set_by = if by_argument.is_some() { name } else { VARIABLE };
            let value = by_argument.or_else(|| launch.variable_argument(VARIABLE, name));
            let Some(value) = value.filter(|value| value.parse::<u64>().is_ok()) else { continue };
            let setting = |name: &str, value: String| Setting { name: name.to_owned(), value };
            counters.settings.push(setting(name, value));
            if name == OLD {
                counters.settings.push(setting(SET_BY, set_by.to_owned()));
            }
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        allocator::{
            advice::ceiling,
            counters::{conformance, launch::fixture},
            image::fake,
        },
        units::Bytes,
    };

    const MIB: u64 = 1 << 20;

    fn most(arguments: &[&str], environment: &[&str]) -> Option<(u64, String)> {
        let counters = fixture::read(&V8, arguments, environment).unwrap();
        let ceiling = ceiling(&counters, None)?;
        Some((ceiling.most?.0 / MIB, ceiling.set_by))
    }

    #[test]
    fn the_command_line_overrides_the_variable() {
        let variable = ["NODE_OPTIONS=--max-old-space-size=4096 --inspect"];
        let young = "and 48.0 MiB of young generation at most";
        let expected = format!("{VARIABLE}: {OLD}=4096, {young}");
        assert_eq!(most(&["node", "a.js"], &variable), Some((4096 + 48, expected)));
        let arguments = ["node", "--max_old_space_size=300", "a.js"];
        assert_eq!(most(&arguments, &variable), Some((348, format!("--max-old-space-size=300, {young}"))));
        assert_eq!(most(&["node", "a.js"], &["NODE_ENV=production"]), None, "V8's default is not known");
    }

    #[test]
    fn the_young_generation_counts_where_its_size_is_given() {
        let arguments = ["node", "--max-old-space-size=300", "--max-semi-space-size=64", "a.js"];
        assert_eq!(most(&arguments, &[]).unwrap().0, 300 + 3 * 64);
        assert_eq!(most(&["node", "--max-semi-space-size=64"], &[]), None);
        assert_eq!(most(&["node", "--max-old-space-size=lots"], &[]), None);
        let huge = ["node", "--max-old-space-size=18446744073709551615"];
        assert_eq!(most(&huge, &[]).unwrap().0, u64::MAX / MIB, "no overflow");
    }

    #[test]
    fn another_bound_is_a_flag() {
        let bounded = |arguments: &[&str]| {
            let counters = fixture::read(&V8, arguments, &[]).unwrap();
            ceiling(&counters, None).unwrap().bounded(Bytes(200 * MIB))
        };
        let advised = bounded(&["node", "--max-old-space-size=300"]);
        assert_eq!(advised, "--max-old-space-size=188 --max-semi-space-size=4", "200 together");
        let given = ["node", "--max-old-space-size=300", "--max-semi-space-size=16"];
        assert_eq!(bounded(&given), "--max-old-space-size=152", "200 with three times 16");
    }

    /// V8 chooses the semi-spaces by the memory that it saw, which nobody else knows.
    #[test]
    fn a_default_is_known_within_limits() {
        let counters = fixture::read(&V8, &["node", "--max-old-space-size=300"], &[]).unwrap();
        let ceiling = ceiling(&counters, None).unwrap();
        let range = [ceiling.sure(), ceiling.most].map(|bytes| bytes.unwrap().0 / MIB);
        assert_eq!(range, [303, 348]);
    }

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&V8, memory, &fake::NO_FILES).ok();
        }
    }
}
