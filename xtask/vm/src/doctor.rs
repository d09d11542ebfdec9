//! `memtrace doctor`: which form of each hook attached.
//!
//! Its JSON and exit code -> values for the table. Must not know which form is the right one on which kernel.

use serde::Deserialize;

use super::{
    results::Results,
    transcript::Transcript,
    verifier::{self, Cost},
};

/// The parts of the diagnosis that are compared.
#[derive(Debug, Deserialize)]
struct Diagnosis {
    works: bool,
    failure: Option<String>,
    probes: Probes,
    missing_capabilities: Vec<(String, String)>,
    memory_controller: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Probes {
    hooks: Vec<Hook>,
    missing_fields: Vec<String>,
    self_check: String,
}

#[derive(Debug, Deserialize)]
struct Hook {
    fact: String,
    attached: Option<String>,
    program: Option<Cost>,
    passed_over: Vec<PassedOver>,
    lost: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PassedOver {
    hook: String,
    why: String,
}

/// Between a form and what is said besides.
pub(crate) const SEPARATOR: &str = " | ";
/// Stands where no form attached.
pub(crate) const LOST: &str = "lost";
/// The part of a check's name that a fact follows.
pub(crate) const FACT: &str = ".fact.";

/// The results of `doctor` in this way.
pub(crate) fn measure(mode: &str, said: &Transcript) -> Results {
    let mut results = Results::default();
    let (Some(json), Some(exit)) =
        (said.get(&format!("{mode}/diagnosis")), said.get(&format!("{mode}/exit")))
    else {
        results.missing(mode, "doctor did not end");
        return results;
    };
    let diagnosis: Diagnosis = match serde_json::from_str(json) {
        Ok(diagnosis) => diagnosis,
        Err(error) => {
            results.missing(mode, &format!("exit code {}, {error}: {}", exit.trim(), json.trim()));
            return results;
        }
    };
    let Diagnosis { works, failure, probes, missing_capabilities, memory_controller } = diagnosis;
    let Probes { hooks, missing_fields, self_check } = probes;
    results.holds(&format!("{mode}.works"), works, || ("yes".to_owned(), failure.unwrap_or_default()));
    results.equal(&format!("{mode}.exit"), &if works { "0" } else { "1" }, &exit.trim());
    results.equal(&format!("{mode}.missing-capabilities"), &Vec::new(), &missing_capabilities);
    let mut note = |what: &str, value: &str| results.note(format!("{mode}.{what}"), value);
    note("missing-fields", &listed(&missing_fields));
    note("self-check", Some(self_check.as_str()).filter(|said| !said.is_empty()).unwrap_or("not run"));
    note("memory-controller", memory_controller.as_deref().unwrap_or("none"));
    for hook in &hooks {
        results.note(format!("{mode}{FACT}{}", hook.fact), &value(hook));
        if let Some(cost) = &hook.program {
            results.note(verifier::check(cost), &verifier::value(cost));
        }
    }
    results
}

/// `FORM | not by HOOK: WHY | ... | lost: WHAT`
fn value(hook: &Hook) -> String {
    let Hook { fact: _, attached, program: _, passed_over, lost } = hook;
    let mut parts = vec![attached.clone().unwrap_or_else(|| LOST.to_owned())];
    parts
        .extend(passed_over.iter().map(|PassedOver { hook, why }| format!("not by {hook}: {}", steady(why))));
    parts.extend(lost.iter().map(|what| format!("lost: {what}")));
    parts.join(SEPARATOR)
}

/// What the verifier says after its verdict (times, counts) differs from run to run.
fn steady(why: &str) -> &str {
    why.split(SEPARATOR).next().unwrap_or(why)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"schema": 1, "works": true, "failure": null, "missing_capabilities": [],
        "memory_controller": "cgroup v2, mounted at /sys/fs/cgroup", "probes": {
        "hooks": [
            {"fact": "brk", "required": false, "attached": "tracepoint:syscalls:sys_exit_brk", "passed_over": [
                {"hook": "fexit:__x64_sys_brk", "why": "refused: verifier: off=0 | verification time 36 usec | x"}],
             "lost": null},
            {"fact": "exit", "required": false, "attached": null, "passed_over": [], "lost": "exit codes"}],
        "missing_fields": [], "self_check": "11 values agree with /proc", "fault_period": 64}}"#;

    fn results(json: &str, exit: &str) -> Results {
        measure(
            "doctor",
            &Transcript::parse(&format!("=== doctor/diagnosis\n{json}\n=== doctor/exit\n{exit}\n")),
        )
    }

    #[test]
    fn the_form_of_each_fact_is_a_value_with_what_was_passed_over() {
        let Results { table, wrong, remarks: _ } = results(JSON, "0");
        assert_eq!(wrong, []);
        assert_eq!(
            table["doctor.fact.brk"],
            "tracepoint:syscalls:sys_exit_brk | not by fexit:__x64_sys_brk: refused: verifier: off=0"
        );
        assert_eq!(table["doctor.fact.exit"], "lost | lost: exit codes");
        assert_eq!(table["doctor.self-check"], "11 values agree with /proc");
    }

    #[test]
    fn an_exit_code_that_does_not_fit_is_wrong() {
        assert_eq!(results(JSON, "139").wrong.len(), 1);
    }

    #[test]
    fn a_doctor_that_says_nothing_is_a_surprise() {
        assert!(results("", "127").wrong[0].found.starts_with("none: exit code 127"));
        assert_eq!(measure("doctor", &Transcript::default()).wrong.len(), 1);
    }
}
