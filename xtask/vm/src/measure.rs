//! Everything that one boot tells.
//!
//! Boot and what its guest said -> results. Pure. Must not know any table.

use super::{
    allocators, doctor, events, judge, kernel::Kernel, machine::Run, plan::Boot, results::Results,
    scenario::SCENARIOS,
};

/// The results of one boot.
pub(crate) fn measure(boot: Boot, kernel: &Kernel, run: &Run) -> Results {
    let Run { said, failure, took: _ } = run;
    let mut results = Results::default();
    if let Some(failure) = failure {
        results.missing(&format!("boot.{}", boot.name(kernel)), failure);
    }
    let release = said.get("kernel/release").unwrap_or_default().trim();
    results.holds("boot.release", release.starts_with(&format!("{}.", kernel.series)), || {
        (format!("{}.x", kernel.series), release.to_owned())
    });
    // `none [integrity] confidentiality`
    let lockdown = said.get("kernel/lockdown").unwrap_or_default().trim();
    let wanted = match boot {
        Boot::Usual => "[none]",
        Boot::Lockdown => "[integrity]",
    };
    results.holds("boot.lockdown", lockdown.contains(wanted), || (wanted.to_owned(), lockdown.to_owned()));
    for mode in boot.modes() {
        results.extend(doctor::measure(mode.name, said));
    }
    if boot.runs_tests() {
        results.extend(events::measure(said));
        results.extend(allocators::measure(said));
    }
    for tracer in boot.tracers() {
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.tracer == *tracer) {
            results.extend(judge::judge(scenario, said));
        }
        let name = tracer.name();
        let section =
            |what: &str| said.get(&format!("{name}/{what}")).unwrap_or("none: it did not end").trim();
        results.equal(&format!("{name}.exit"), &"0", &section("exit"));
        let complaints = section("log").lines().filter(|line| is_complaint(line)).collect::<Vec<_>>();
        results.equal(&format!("{name}.log"), &Vec::new(), &complaints);
    }
    results
}

/// A hook that did not attach is in the table already.
fn is_complaint(line: &str) -> bool {
    line.contains(" ERROR ") || line.contains(" WARN ") && !line.contains(" WARN failed to attach a hook; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{kernel, transcript};

    fn boot_surprises(lockdown: &str, failure: Option<&str>) -> Vec<String> {
        let said =
            format!("=== kernel/release\n6.12.107+deb13-cloud-amd64\n=== kernel/lockdown\n{lockdown}\n");
        let run = Run {
            said: transcript::Transcript::parse(&said),
            failure: failure.map(str::to_owned),
            took: Duration::ZERO,
        };
        let results = measure(Boot::Lockdown, kernel::parse("6.12").unwrap(), &run);
        let of_boot = results.wrong.into_iter().filter(|surprise| surprise.unit() == "boot");
        of_boot.map(|surprise| surprise.check).collect()
    }

    #[test]
    fn a_boot_that_should_be_locked_down_is_checked_to_be() {
        assert_eq!(boot_surprises("none [integrity] confidentiality", None), [""; 0]);
        assert_eq!(boot_surprises("[none] integrity confidentiality", None), ["boot.lockdown"]);
    }

    #[test]
    fn a_guest_that_died_is_a_surprise_of_the_boot() {
        let wrong = boot_surprises("none [integrity] confidentiality", Some("the guest ended"));
        assert_eq!(wrong, ["boot.6.12-lockdown"]);
    }

    #[test]
    fn a_hook_that_did_not_attach_is_no_complaint_of_the_daemon() {
        assert!(!is_complaint(
            "2026-11-22T20:47:49Z  WARN failed to attach a hook; see `memtrace doctor` fact=fork"
        ));
        assert!(is_complaint("2026-11-22T20:47:49Z  WARN events were lost"));
        assert!(!is_complaint("2026-11-22T20:47:49Z  INFO watching socket=/run/s"));
    }
}
