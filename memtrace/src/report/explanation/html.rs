//! An explanation as the contents of a page of HTML.
//!
//! [`Explanation`] -> HTML. Must not add information; the blocks are those of `document`.

use maud::{Markup, html};

use super::{document, words};
use crate::{
    explain::Explanation,
    report::html::{footer, section, stacks},
    snapshot::GrowthStack,
    text::printable,
};

/// The contents of the page, with sections of its own: `kills` below its head, `members` below the sum.
pub fn contents(explanation: &Explanation, kills: &Markup, members: &Markup) -> Markup {
    let Explanation { cgroups, time, growth, allocators, findings, .. } = explanation;
    let grown: Vec<GrowthStack> =
        growth.iter().flat_map(|growth| &growth.stacks).map(|grown| grown.stack.clone()).collect();
    let flame = stacks(&grown);
    html! {
        header {
            p.kicker { "Figures of " (time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) }
            h1 { (printable(&words::headline(explanation))) }
            @for cgroup in cgroups { p.kicker { "cgroup " (printable(cgroup)) } }
        }
        (kills)
        (section(&document::verdict(findings), None))
        @if !explanation.parts.is_empty() { (section(&document::sum(explanation), None)) }
        (members)
        @if let Some(growth) = document::growth(explanation) { (section(&growth, flame)) }
        @for block in [
            document::allocators(allocators, *time),
            document::pressure(explanation),
            document::notes(explanation),
        ] {
            @if let Some(block) = block { (section(&block, None)) }
        }
        (footer("Read from outside of the processes, while they run."))
    }
}
