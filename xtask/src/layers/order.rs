//! The order of the layers, as data.
//!
//! Two top-level modules -> whether the first may import the second. Must not read a file.

/// What everybody may import, and what itself imports nothing above.
const BASE: [&str; 6] = ["units", "clock", "config", "elf", "symbols", "http"];

/// Upstream first: a module may import what stands before it.
const ORDER: [&str; 15] = [
    "probe",
    "ingest",
    "mm",
    "unwind",
    "allocator",
    "container",
    "snapshot",
    "history",
    "verdict",
    "oom",
    "store",
    "report",
    "metrics",
    "api",
    "top",
];

/// Where the parts are put together: these may import everything, and nothing else may import them.
const ROOTS: [&str; 3] = ["cli", "daemon", "fuzz"];

const FLOW: &str = "facts flow one way (kernel programs -> events -> address spaces -> allocators -> \
containers -> snapshot -> history -> verdicts -> outputs)";

/// How far downstream a module is.
pub(crate) fn layer_of(module: &str) -> Result<usize, String> {
    let place = ORDER.iter().position(|known| *known == module).map(|place| place + 1);
    let place = place.or_else(|| BASE.contains(&module).then_some(0));
    let place = place.or_else(|| ROOTS.contains(&module).then_some(ORDER.len() + 1));
    place.ok_or_else(|| {
        format!(
            "{module} is not a module in the table of layers: add it to xtask/src/layers/order.rs, \
             or import the item from its own module"
        )
    })
}

/// Why `from` must not import `to`, if it must not.
pub(crate) fn may_import(from: &str, to: &str) -> Result<(), String> {
    let (down, up) = (layer_of(from)?, layer_of(to)?);
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
    fn the_base_is_for_all_and_needs_nobody() {
        assert!(may_import("probe", "config").is_ok());
        assert!(may_import("config", "units").is_ok());
        assert!(may_import("units", "probe").is_err());
    }

    #[test]
    fn the_roots_put_all_together_and_stay_outside() {
        assert!(may_import("cli", "daemon").is_ok());
        assert!(may_import("daemon", "cli").is_ok());
        assert!(may_import("top", "cli").is_err());
    }
}
