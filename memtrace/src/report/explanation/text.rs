//! One explanation as text.
//!
//! [`Explanation`] -> lines that fit. Must not add information.

use jiff::Timestamp;

use super::{
    objects::objects,
    words::{self, percent},
};
use crate::{
    explain::{Explanation, Grown, Holding, Member, Part},
    report::{
        page::Page,
        stack::callers,
        style::{Paint, Style},
    },
    text::{Align, pad, printable, width, wrap_paths},
    units::{Bytes, Grade},
    verdict::Remedy,
};

/// Width of a bar in columns.
const BAR: usize = 20;
/// Widths of a part's name, of a figure, of a share, in columns.
const NAME: usize = 32;
const FIGURE: usize = 11;
const SHARE: usize = 6;
/// The most processes in the list.
const MOST_LISTED: usize = 5;

/// Lays out an explanation.
pub fn text(explanation: &Explanation, style: Style) -> String {
    let mut page = Page::new(style);
    head(&mut page, explanation);
    if !explanation.parts.is_empty() {
        sum(&mut page, explanation);
    }
    growth(&mut page, explanation);
    if !explanation.allocators.is_empty() {
        page.heading("ALLOCATORS");
        for holding in &explanation.allocators {
            allocator(&mut page, holding, explanation.time);
        }
    }
    if !explanation.objects.is_empty() {
        page.heading("OBJECTS");
        explanation.objects.iter().for_each(|filled| objects(&mut page, filled));
    }
    if !explanation.reclaimable.is_empty() || !explanation.firm.is_empty() {
        page.heading("UNDER MEMORY PRESSURE");
        let back = explanation.reclaimable.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes.0));
        entry(&mut page, "the kernel can reclaim", Bytes(back), "", Paint::Heading);
        parts(&mut page, &explanation.reclaimable, 1);
        let firm = explanation.firm.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes.0));
        entry(&mut page, "cannot be reclaimed without swap", Bytes(firm), "", Paint::Heading);
        parts(&mut page, &explanation.firm, 1);
    }
    verdicts(&mut page, explanation);
    if !explanation.notes.is_empty() {
        page.heading("NOTES");
        for note in &explanation.notes {
            page.bullet("-", note, Paint::Doubt);
        }
    }
    page.finish()
}

fn head(page: &mut Page, explanation: &Explanation) {
    let Explanation { cgroups, processes, time, .. } = explanation;
    page.paragraph(&words::headline(explanation), Paint::Heading);
    for cgroup in cgroups {
        page.field("cgroup", cgroup);
    }
    let listed = listed(processes);
    let none = || "none".to_owned();
    let listed = if listed.is_empty() { none() } else { listed.join(", ") };
    page.field(if processes.len() == 1 { "process" } else { "processes" }, &listed);
    page.field("at", &time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
}

/// The largest processes; if there are many, those with the same name together: "40 × php-fpm, 19.0 to 23.4 MiB".
fn listed(processes: &[Member]) -> Vec<String> {
    let is_many = processes.len() > MOST_LISTED;
    let mut groups: Vec<(&str, Vec<&Member>)> = Vec::new();
    for one in processes {
        match groups.iter_mut().find(|(comm, _)| is_many && *comm == one.comm) {
            Some((_, members)) => members.push(one),
            None => groups.push((&one.comm, vec![one])),
        }
    }
    let more: usize = groups.iter().skip(MOST_LISTED).map(|(_, members)| members.len()).sum();
    let mut listed: Vec<String> =
        groups.iter().take(MOST_LISTED).map(|(comm, members)| group(comm, members)).collect();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    listed
}

fn group(comm: &str, members: &[&Member]) -> String {
    if let [one] = members {
        return format!("{comm} ({})", one.pid);
    }
    let sizes = || members.iter().filter_map(|one| one.rss_bytes);
    let size = match sizes().min().zip(sizes().max()) {
        Some((least, most)) if least == most => format!(", {most} resident each"),
        Some((least, most)) => format!(", {least} to {most} resident each"),
        None => String::new(),
    };
    format!("{} × {comm}{size}", members.len())
}

fn sum(page: &mut Page, explanation: &Explanation) {
    page.heading(&words::whole(explanation).to_uppercase());
    let total = explanation.total_bytes.unwrap_or_default().0;
    for part in &explanation.parts {
        line(page, part, 0, total);
        for inner in &part.parts {
            line(page, inner, 1, total);
        }
    }
    if let Some(remainder) = explanation.remainder_bytes {
        line(page, &words::remainder(remainder), 0, total);
    }
    entry(page, "total", Bytes(total), "", Paint::Heading);
}

/// How it grows, and where: for each stack its share of the growth, and the program's own functions.
fn growth(page: &mut Page, explanation: &Explanation) {
    let Some(growth) = &explanation.growth else { return };
    let Some(now) = words::growth(growth) else { return };
    page.heading("GROWTH");
    page.line(&now, Paint::Plain);
    for Grown { pid, comm, stack } in &growth.stacks {
        let [_, minute, _] = stack.bytes;
        let whose = if explanation.processes.len() > 1 { format!("{comm} ({pid}): ") } else { String::new() };
        page.bullet(
            &pad(&minute.to_string(), FIGURE, Align::Right),
            &format!("{whose}{}", callers(stack)),
            Paint::Plain,
        );
    }
}

fn line(page: &mut Page, part: &Part, depth: usize, total: u64) {
    let share = percent(part.bytes.0, total);
    let filled = (u128::from(part.bytes.0) * BAR as u128).checked_div(u128::from(total)).unwrap_or(0);
    let filled = usize::try_from(filled).unwrap_or(BAR).min(BAR);
    let bar = if depth == 0 { "#".repeat(filled) } else { "=".repeat(filled) };
    let grade = if part.grade == Grade::Inferred && depth > 0 { "~" } else { "" };
    let name = format!("{}{}", "  ".repeat(depth), printable(&part.what));
    let figures = format!(
        "{}{}{}  {}",
        pad(&name, NAME, Align::Left),
        pad(&format!("{grade}{}", part.bytes), FIGURE, Align::Right),
        pad(&format!("{share} %"), SHARE, Align::Right),
        pad(&bar, BAR, Align::Left),
    );
    let room = page.columns().saturating_sub(width(&figures) + 2);
    let means = printable(&part.means);
    let means = if width(&means) <= room { format!("  {means}") } else { String::new() };
    page.line(&format!("{figures}{means}"), Paint::Plain);
}

/// Adds a name, a figure, and its meaning if there is room.
fn entry(page: &mut Page, name: &str, bytes: Bytes, means: &str, paint: Paint) {
    let figure = pad(&bytes.to_string(), FIGURE, Align::Right);
    let start = format!("{}{figure}", pad(&printable(name), NAME, Align::Left));
    let room = page.columns().saturating_sub(width(&start) + 2);
    let mut lines = wrap_paths(&printable(means), room.max(20)).into_iter();
    let first = lines.next().unwrap_or_default();
    page.line(&format!("{start}  {first}"), paint);
    for more in lines {
        page.line(&format!("{}{more}", " ".repeat(width(&start) + 2)), paint);
    }
}

fn parts(page: &mut Page, parts: &[Part], depth: usize) {
    for part in parts {
        entry(page, &format!("{}{}", "  ".repeat(depth), part.what), part.bytes, &part.means, Paint::Plain);
    }
}

fn allocator(page: &mut Page, holding: &Holding, now: Timestamp) {
    entry(page, &words::title(holding), holding.resident_bytes, "resident", Paint::Heading);
    if let Some(reason) = &holding.absent {
        page.bullet("  no counters:", reason, Paint::Doubt);
    }
    let bound = holding.exactness(now);
    for (name, bytes, means) in words::figures(holding, &bound) {
        if let Some(bytes) = bytes.filter(|bytes| bytes.0 > 0) {
            entry(page, name, bytes, means, Paint::Plain);
        }
        if name == words::IN_USE {
            by_arena(page, holding);
        }
    }
    for missing in &holding.missing {
        page.bullet("  unknown:", missing, Paint::Doubt);
    }
    if !holding.settings.is_empty() {
        page.bullet("  settings:", &words::settings(holding), Paint::Plain);
    }
}

fn by_arena(page: &mut Page, holding: &Holding) {
    for arena in &holding.by_arena {
        let (bytes, means) = words::arena(arena);
        entry(page, &format!("    {}", arena.name), bytes, &means, Paint::Plain);
    }
    let rest = holding.arenas.saturating_sub(holding.by_arena.len());
    if rest > 0 && !holding.by_arena.is_empty() {
        page.line(&format!("    {rest} more hold less or nothing"), Paint::Plain);
    }
}

fn verdicts(page: &mut Page, explanation: &Explanation) {
    page.heading("VERDICT");
    if explanation.findings.is_empty() {
        page.line(words::NOTHING_UNUSUAL, Paint::Plain);
    }
    for finding in &explanation.findings {
        page.bullet("*", &words::finding(finding), Paint::Culprit);
        for fact in &finding.evidence {
            page.bullet("   ", &format!("{}: {} ({})", fact.what, fact.value, fact.grade), Paint::Plain);
        }
        for (text, setting) in finding.remedies.iter().map(Remedy::words) {
            page.bullet("  try:", &text, Paint::Plain);
            if let Some(setting) = setting {
                page.line(&format!("       {}", printable(setting)), Paint::Heading);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Member, listed};

    #[test]
    fn many_processes_of_one_program_are_one_entry() {
        let of = |pid: u32, comm: &str, mib: u64| Member {
            pid,
            comm: comm.to_owned(),
            rss_bytes: Some(Bytes(mib << 20)),
        };
        let mut members = vec![of(1, "php-fpm", 23), of(2, "php-fpm", 19)];
        assert_eq!(listed(&members), ["php-fpm (1)", "php-fpm (2)"], "few are listed");
        members.extend((3..=40).map(|pid| of(pid, "php-fpm", 20)));
        members.push(of(41, "nginx", 5));
        assert_eq!(listed(&members), ["40 × php-fpm, 19.0 MiB to 23.0 MiB resident each", "nginx (41)"]);
        members.extend((50..60).map(|pid| of(pid, &format!("job-{pid}"), 1)));
        assert_eq!(listed(&members).last().unwrap(), "and 7 more");
        assert_eq!(listed(&[]), [""; 0]);
    }
}
