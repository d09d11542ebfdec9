//! The order of the layers, as data.
//!
//! Two modules of memtrace/src -> whether the first may import the second. Must not read a file.

/// Each line is a floor: its modules may import those of the lines above and each other. A module that is listed and not
/// there (yet) does no harm; one that is there and not listed is a problem.
const FLOORS: [&[&str]; 28] = [
    &["units", "clock", "elf", "foreign", "health", "symbols", "text", "http"],
    &["probe"],
    &["ingest"],
    &["mm"],
    &["unwind"],
    &["cgroup"],
    &["container"],
    &["allocator"],
    &["snapshot"],
    &["model"],
    &["reader"],
    &["history"],
    &["verdict"],
    &["explain"],
    &["sizing"],
    &["oom"],
    &["store"],
    &["report"],
    &["export"],
    &["metrics"],
    &["api"],
    &["top"],
    &["web"],
    &["daemon"],
    &["run"],
    &["cli"],
    &["fuzz"],
    // The program itself.
    &["main"],
];

const FLOW: &str = "facts flow one way (kernel programs -> events -> address spaces -> allocators -> containers -> model \
-> snapshot -> history -> verdicts -> explanations, causes -> outputs)";

/// How far downstream a module is.
pub(crate) fn floor_of(module: &str) -> Result<usize, String> {
    FLOORS.iter().position(|floor| floor.contains(&module)).ok_or_else(|| {
        format!(
            "the module {module} is not in the order of layers: add it to FLOORS in xtask/src/layers/order.rs, below \
             all that it imports and above all that imports it"
        )
    })
}

/// Why `from` must not import `to`, if it must not.
pub(crate) fn may_import(from: &str, to: &str) -> Result<(), String> {
    let (down, up) = (floor_of(from)?, floor_of(to)?);
    if up <= down {
        return Ok(());
    }
    Err(format!("{from} must not import {to}: {FLOW}; move the type down or pass a value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_may_be_imported_and_downstream_may_not() {
        assert!(may_import("report", "mm").is_ok());
        assert!(may_import("mm", "mm").is_ok());
        assert!(may_import("mm", "report").unwrap_err().starts_with("mm must not import report"));
    }

    #[test]
    fn the_ground_floor_is_for_all_and_needs_nobody() {
        assert!(may_import("probe", "clock").is_ok());
        assert!(may_import("clock", "units").is_ok());
        assert!(may_import("units", "probe").is_err());
    }

    #[test]
    fn an_unknown_module_is_told_where_it_belongs() {
        assert!(
            may_import("cache", "mm").unwrap_err().contains("add it to FLOORS in xtask/src/layers/order.rs")
        );
    }
}
