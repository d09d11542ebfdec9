//! .NET's heap limit, as it was given in environment variables.
//!
//! Input: a process with CoreCLR. Output: settings. The collector's own figures are not read, and neither are settings in
//! `runtimeconfig.json`. Variables hold hexadecimal numbers, with or without `0x`; `COMPlus_` is the prefix of versions
//! before 6 (learn.microsoft.com, "Runtime configuration options for garbage collection").

use crate::allocator::{
    AllocatorId,
    counters::{Absent, CounterReader, Counters, Setting, Target, launch::Launch},
    evidence::{Mark, ProcessEvidence},
};

const PREFIXES: [&str; 2] = ["DOTNET_", "COMPlus_"];
/// Bytes.
pub const LIMIT: &str = "GCHeapHardLimit";
/// Percent of the memory that the container may use.
pub const PERCENT: &str = "GCHeapHardLimitPercent";
/// Limits of single heaps: with these the sum is another.
pub const OF_HEAPS: [&str; 6] = [
    "GCHeapHardLimitSOH",
    "GCHeapHardLimitLOH",
    "GCHeapHardLimitPOH",
    "GCHeapHardLimitSOHPercent",
    "GCHeapHardLimitLOHPercent",
    "GCHeapHardLimitPOHPercent",
];

/// The reader.
pub struct Dotnet;

impl CounterReader for Dotnet {
    fn name(&self) -> &'static str {
        AllocatorId::Dotnet.name()
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Dotnet)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let mut counters = Counters {
            allocator: self.name().to_owned(),
            missing: vec!["the collector's own figures, and settings in runtimeconfig.json".to_owned()],
            ..Counters::default()
        };
        let Some(launch) = Launch::read(target) else {
            counters.missing.push("its environment: it is not resident".to_owned());
            return Ok(counters);
        };
        for name in [LIMIT, PERCENT].into_iter().chain(OF_HEAPS) {
            let value = PREFIXES.iter().find_map(|prefix| launch.variable_size(&format!("{prefix}{name}")));
            let Some(value) = value.and_then(|value| hexadecimal(&value)) else { continue };
            counters.settings.push(Setting { name: name.to_owned(), value: value.to_string() });
        }
        Ok(counters)
    }
}

fn hexadecimal(value: &str) -> Option<u64> {
    let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")).unwrap_or(value);
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        allocator::{
            advice::{Ceiling, ceiling},
            counters::{conformance, launch::fixture},
            image::fake,
        },
        units::Bytes,
    };

    const LIMIT_BYTES: Option<Bytes> = Some(Bytes(1 << 30));

    fn of(environment: &[&str]) -> Option<Ceiling> {
        ceiling(&fixture::read(&Dotnet, &["dotnet", "app.dll"], environment).unwrap(), LIMIT_BYTES)
    }

    #[test]
    fn numbers_are_hexadecimal() {
        let found = of(&["PATH=/bin", "DOTNET_GCHeapHardLimit=C800000"]).unwrap();
        assert_eq!((found.most, found.set_by.as_str()), (Some(Bytes(200 << 20)), "DOTNET_GCHeapHardLimit"));
        assert_eq!(of(&["COMPlus_GCHeapHardLimit=0xC800000"]).unwrap().most, Some(Bytes(200 << 20)));
        assert_eq!(found.bounded(Bytes(100 << 20)), "DOTNET_GCHeapHardLimit=0x6400000");
    }

    #[test]
    fn a_percentage_is_one_of_the_limit() {
        // 0x4B is 75.
        let found = of(&["DOTNET_GCHeapHardLimitPercent=4B"]).unwrap();
        assert_eq!(found.most, Some(Bytes((1 << 30) / 100 * 75)));
        let counters = fixture::read(&Dotnet, &["dotnet"], &["DOTNET_GCHeapHardLimitPercent=4B"]).unwrap();
        assert_eq!(ceiling(&counters, None), None, "of what is not known");
        let both = ["DOTNET_GCHeapHardLimitPercent=4B", "DOTNET_GCHeapHardLimit=C800000"];
        assert_eq!(of(&both).unwrap().most, Some(Bytes(200 << 20)), "bytes come first");
    }

    #[test]
    fn what_cannot_be_said_truly_is_not_said() {
        assert_eq!(of(&["DOTNET_gcServer=1"]), None);
        assert_eq!(of(&["DOTNET_GCHeapHardLimit=lots"]), None);
        assert_eq!(of(&["DOTNET_GCHeapHardLimit=C800000", "DOTNET_GCHeapHardLimitSOH=C800000"]), None);
        assert_eq!(of(&["DOTNET_GCHeapHardLimitPercent=FF"]), None, "255 % of the limit");
    }

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Dotnet, memory, &fake::NO_FILES).ok();
        }
    }
}
