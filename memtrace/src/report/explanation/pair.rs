//! Two targets side by side.
//!
//! Two [`Explanation`]s -> a table. Must not add information.

use crate::{
    explain::{Explanation, Holding},
    report::{
        page::Page,
        style::{Paint, Style},
    },
    text::{Align, GAP, columns, keep_start, printable},
    units::Bytes,
};

/// Width of a name in columns.
const NAME: usize = 30;

/// Lays out both explanations.
pub fn pair(one: &Explanation, two: &Explanation, style: Style) -> String {
    let mut page = Page::new(style);
    let name = |of: &Explanation| keep_start(&printable(&of.name), NAME, GAP);
    let mut rows = vec![vec![String::new(), name(one), name(two)]];
    let mut row = |what: &str, figure: &dyn Fn(&Explanation) -> Option<Bytes>| {
        let (one, two) = (figure(one), figure(two));
        if one.or(two).is_some_and(|_| one != Some(Bytes(0)) || two != Some(Bytes(0))) {
            rows.push(vec![what.to_owned(), shown(one), shown(two)]);
        }
    };
    row("charged, or resident", &|of| of.total_bytes);
    row("limit", &|of| of.limit.as_ref().map(|limit| limit.bytes));
    let kinds = one.parts.iter().chain(&two.parts).map(|part| part.what.as_str());
    for kind in unique(kinds) {
        row(kind, &|of| of.parts.iter().find(|part| part.what == kind).map(|part| part.bytes));
    }
    row("remainder", &|of| of.remainder_bytes.map(|bytes| Bytes(bytes.unsigned_abs())));
    let allocators = one.allocators.iter().chain(&two.allocators).map(|holding| holding.allocator.as_str());
    for allocator in unique(allocators) {
        let held = |of: &Explanation| -> Option<Holding> {
            of.allocators.iter().find(|holding| holding.allocator == allocator).cloned()
        };
        row(&format!("{allocator}: resident"), &|of| held(of).map(|of| of.resident_bytes));
        row("  in use", &|of| held(of)?.allocated_bytes);
        row("  free, still resident", &|of| held(of)?.free_resident_bytes);
        row("  freed lazily", &|of| held(of)?.lazily_freed_bytes);
        row("  virtual only", &|of| held(of)?.retained_bytes);
    }
    let sum = |parts: &[crate::explain::Part]| Bytes(parts.iter().fold(0, |sum, part| sum + part.bytes.0));
    row("the kernel can reclaim", &|of| Some(sum(&of.reclaimable)));
    row("cannot be reclaimed without swap", &|of| Some(sum(&of.firm)));
    for (at, line) in columns(&[Align::Left, Align::Right, Align::Right], &rows).iter().enumerate() {
        page.line(line, if at == 0 { Paint::Heading } else { Paint::Plain });
    }
    for of in [one, two] {
        page.heading(&printable(&of.name));
        if of.findings.is_empty() {
            page.line("nothing unusual in these figures", Paint::Plain);
        }
        for finding in &of.findings {
            page.paragraph(&finding.sentence, Paint::Culprit);
            for remedy in finding.remedies.iter().filter(|remedy| remedy.setting.is_some()) {
                let (text, setting) = remedy.words();
                page.field("try", setting.unwrap_or(&text));
            }
        }
    }
    page.finish()
}

fn shown(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string())
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
