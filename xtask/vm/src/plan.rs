//! What a guest does.
//!
//! Boot -> the shell script that runs in it, made of the functions in vm/guest/lib.sh. Must not judge.

use super::{
    kernel::Kernel,
    scenario::{SCENARIOS, Tracer},
};

/// A way to run `doctor`, each forcing some hook's fallback.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    /// What is taken away, as `--without` takes it.
    pub(crate) without: Option<&'static str>,
}

/// All ways, on every kernel.
pub(crate) const MODES: [Mode; 5] = [
    Mode { name: "doctor", without: None },
    mode("without-fexit", "fexit"),
    mode("without-registers", "task-registers,fexit"),
    mode("without-tracefs", "tracefs"),
    mode("without-btf", "btf"),
];

/// The way for a kernel that is locked down.
pub(crate) const LOCKDOWN: Mode = Mode { name: "lockdown", without: None };

const fn mode(name: &'static str, without: &'static str) -> Mode {
    Mode { name, without: Some(without) }
}

/// One start of one kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Boot {
    /// Everything.
    Usual,
    /// As with Secure Boot.
    Lockdown,
}

impl Boot {
    /// The boots of a kernel.
    pub(crate) fn all(kernel: &Kernel) -> &'static [Self] {
        if kernel.lockdown { &[Self::Usual, Self::Lockdown] } else { &[Self::Usual] }
    }

    /// What its directory is called.
    pub(crate) fn name(self, kernel: &Kernel) -> String {
        match self {
            Self::Usual => kernel.series.to_owned(),
            Self::Lockdown => format!("{}-lockdown", kernel.series),
        }
    }

    /// More kernel arguments.
    pub(crate) fn append(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::Lockdown => "lockdown=integrity",
        }
    }

    /// How `doctor` is run.
    pub(crate) fn modes(self) -> &'static [Mode] {
        match self {
            Self::Usual => &MODES,
            Self::Lockdown => &[LOCKDOWN],
        }
    }

    /// The daemons to run scenarios under.
    pub(crate) fn tracers(self) -> &'static [Tracer] {
        match self {
            Self::Usual => &[Tracer::Usual, Tracer::WithoutBtf],
            Self::Lockdown => &[],
        }
    }

    /// Whether memtrace's own tests of its events are run.
    pub(crate) fn runs_tests(self) -> bool {
        self == Self::Usual
    }

    /// The script.
    pub(crate) fn script(self) -> String {
        let mut lines = vec![". /vm/lib.sh".to_owned(), "kernel".to_owned()];
        for Mode { name, without } in self.modes() {
            lines.push(match without {
                Some(without) => format!("doctor {name} --without {without}"),
                None => format!("doctor {name}"),
            });
        }
        for tracer in self.tracers() {
            lines.push(format!("daemon {} {}", tracer.name(), tracer.arguments()).trim_end().to_owned());
            if *tracer == Tracer::Usual {
                lines.push("allocators".to_owned());
            }
            for scenario in SCENARIOS.iter().filter(|scenario| scenario.tracer == *tracer) {
                lines.push(format!("scenario {} {}.sh", scenario.name, scenario.script));
            }
            lines.push(format!("end_daemon {}", tracer.name()));
        }
        // Last: some of them kill, and a daemon that starts after them records that from the kernel log.
        if self.runs_tests() {
            lines.push("events".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_down_boot_runs_doctor_and_nothing_else() {
        assert_eq!(Boot::Lockdown.script(), ". /vm/lib.sh\nkernel\ndoctor lockdown\n");
    }

    #[test]
    fn the_usual_boot_forces_each_fallback_and_then_kills() {
        let script = Boot::Usual.script();
        assert!(script.contains("doctor doctor\ndoctor without-fexit --without fexit\n"), "{script}");
        assert!(script.contains("daemon daemon\nallocators\nscenario own-limit own-limit.sh\n"), "{script}");
        assert!(
            script.ends_with(
                "daemon daemon-without-btf --without btf --no-backfill\n\
                 scenario own-limit-without-btf own-limit.sh\nend_daemon daemon-without-btf\nevents\n"
            ),
            "{script}"
        );
    }
}
