//! The results as tables, and their place in docs/sizing.md.
//!
//! Results -> Markdown between two marks. Pure. Must not leave out a program that failed or could not be run.

use anyhow::{Context as _, Result};

use super::{limits::Proof, settings::Saving};

/// What could not be tried, and why.
pub(crate) type NotTried = (String, String);

/// What a run of this took place on.
pub(crate) struct Scene {
    pub(crate) kernel: String,
    pub(crate) cgroups: &'static str,
    /// One-minute load at the start.
    pub(crate) load: String,
    pub(crate) cpus: usize,
}

/// What the kernel did at the advised limit, and at nine tenths of the peak.
pub(crate) fn proofs(all: &[Proof], not_tried: &[NotTried], scene: &Scene) -> String {
    let mut text = "| program | P | advised limit | at the advised limit | time there | at 0.9 × P |\n\
                    |---|---:|---:|---|---:|---|\n"
        .to_owned();
    for proof in all {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {:.2}x | {} |\n",
            proof.about,
            mib(proof.peak_bytes),
            mib(proof.limit_bytes),
            if proof.lived { "lives" } else { "**dies**" },
            proof.time,
            if proof.died { "dies" } else { "**lives**" },
        ));
    }
    let count = |is: fn(&&Proof) -> bool| all.iter().filter(is).count();
    text.push_str(&format!(
        "\nOf {} programs {} live at the advised limit, and {} die at 0.9 × P. {}\n",
        all.len(),
        count(|proof| proof.lived),
        count(|proof| proof.died),
        on(scene)
    ));
    text + &missing(not_tried)
}

/// What settings saved.
pub(crate) fn savings(all: &[Saving], not_tried: &[NotTried], scene: &Scene) -> String {
    let mut text = "| program | setting | without | with | said to be free | saved | saved to said |\n\
                    |---|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for saving in all {
        let mark = if saving.is_as_said() { "" } else { "**" };
        text.push_str(&format!(
            "| {} | `{}` | {} | {} | {} | {} | {mark}{:.2}{mark} |\n",
            saving.about,
            saving.setting,
            mib(saving.before_bytes),
            mib(saving.after_bytes),
            mib(saving.said_bytes),
            mib(saving.saved_bytes()),
            saving.ratio(),
        ));
    }
    let count = all.iter().filter(|saving| saving.is_as_said()).count();
    text.push_str(&format!("\n{count} of {} are within a tenth. {}\n", all.len(), on(scene)));
    text + &missing(not_tried)
}

fn on(scene: &Scene) -> String {
    let Scene { kernel, cgroups, load, cpus } = scene;
    format!("Linux {kernel}, cgroup {cgroups}, {cpus} CPUs, load {load} from other work.")
}

fn missing(not_tried: &[NotTried]) -> String {
    let mut text = String::new();
    for (name, why) in not_tried {
        text.push_str(&format!("\nNot tried: {name} ({why}).\n"));
    }
    text
}

fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}

/// The document with `text` between the marks of `name`.
///
/// # Errors
/// When the marks are missing.
pub(crate) fn put(document: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- {name}: ");
    let end = format!("<!-- end of {name} -->");
    let missing = || format!("docs/sizing.md has no place for {name}");
    let (before, rest) = document.split_once(&begin).with_context(missing)?;
    let (how, rest) = rest.split_once('\n').with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}{how}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        Scene { kernel: "6.12".to_owned(), cgroups: "v2", load: "0.50".to_owned(), cpus: 2 }
    }

    #[test]
    fn a_program_that_contradicts_is_marked_and_counted() {
        let proof = |lived, died| Proof {
            name: "a".to_owned(),
            about: "a program".to_owned(),
            peak_bytes: 100 << 20,
            limit_bytes: 102 << 20,
            lived,
            died,
            time: 1.0,
        };
        let all = [proof(true, true), proof(false, true), proof(true, false)];
        let text = proofs(&all, &[("b".to_owned(), "no b".to_owned())], &scene());
        assert!(text.contains("| a program | 100.0 MiB | 102.0 MiB | lives | 1.00x | dies |"), "{text}");
        assert!(text.contains("**dies**") && text.contains("**lives**"), "{text}");
        assert!(text.contains("Of 3 programs 2 live at the advised limit, and 2 die at 0.9 × P."), "{text}");
        assert!(text.contains("Not tried: b (no b)."), "{text}");
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = "a\n<!-- limits: written by x -->\nold\n<!-- end of limits -->\nb\n";
        let new = put(document, "limits", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- limits: written by x -->\nnew\n<!-- end of limits -->\nb\n");
        assert!(put(document, "other", "").is_err());
    }
}
