//! Advice as text: a table, the settings that would make workloads smaller, and the backtest.
//!
//! [`Advice`]s -> lines. Must not add information.

mod patch;

pub use self::patch::{PatchError, patch};
use super::style::{Paint, Style};
use crate::{
    sizing::{
        advise::Advice,
        backtest::{Backtest, Policy},
    },
    text::{Align, BETWEEN, GAP, columns, keep_end, keep_start, printable, width},
    units::Bytes,
    verdict::Confidence,
};

const TITLES: [&str; 8] = ["WORKLOAD", "LIMIT", "ADVISED", "REQUEST", "CHANGE", "SURE", "DAYS", "WHY"];
/// A figure that there is not.
const NONE: &str = "-";
/// Width of a workload's name.
const NAME: usize = 44;
/// The least width of the reason.
const WHY: usize = 24;

/// The table, and the settings below it. If `is_whole`, reasons are not cut to the width.
pub fn advice(all: &[Advice], style: Style, is_whole: bool) -> String {
    let fixed: Vec<[String; 7]> = all.iter().map(cells).collect();
    let used: usize = (0..7)
        .map(|column| {
            let title = TITLES.get(column).map_or(0, |title| width(title));
            let cells = fixed.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            BETWEEN.len() + cells.fold(title, usize::max)
        })
        .sum();
    let room = style.columns().saturating_sub(used).max(WHY);
    let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
    for (advice, fixed) in all.iter().zip(fixed) {
        let reason = printable(&advice.reason);
        // A terminal shows the start; a file all of it.
        let why = if is_whole { reason } else { keep_start(&reason, room, GAP) };
        rows.push(fixed.into_iter().chain([why]).collect());
    }
    let aligns = [
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Left,
    ];
    let mut out = String::new();
    let paints = std::iter::once(Paint::Heading).chain(all.iter().map(|advice| match advice.limit_bytes {
        Some(_) if !advice.is_lower_bound => Paint::Plain,
        _ => Paint::Doubt,
    }));
    for (line, paint) in columns(&aligns, &rows).iter().zip(paints) {
        out.push_str(&style.paint(paint, line));
        out.push('\n');
    }
    out.push_str(&settings(all));
    out
}

fn cells(advice: &Advice) -> [String; 7] {
    let size = |bytes: Option<Bytes>| bytes.map_or_else(|| NONE.to_owned(), |bytes| bytes.to_string());
    let least = if advice.is_lower_bound { ">= " } else { "" };
    let limit = advice.limit_bytes.map_or_else(|| NONE.to_owned(), |limit| format!("{least}{limit}"));
    [
        keep_end(&printable(&advice.workload), NAME, GAP),
        size(advice.limit_now_bytes),
        limit,
        size(advice.request_bytes),
        change(advice),
        advice.confidence.map_or(NONE, sure).to_owned(),
        format!("{:.1}", advice.days),
    ]
}

/// What the advised limit would save, or how near the workload is to a kill at the present one.
fn change(advice: &Advice) -> String {
    let Some(now) = advice.limit_now_bytes else { return "no limit".to_owned() };
    let peak = advice.terms.as_ref().map(|terms| terms.peak.bytes);
    match (advice.limit_bytes, peak) {
        (Some(limit), _) if limit < now && !advice.is_lower_bound => {
            format!("saves {}", Bytes(now.0 - limit.0))
        }
        (_, Some(peak)) => format!("at {:.0} %", 100.0 * peak.0 as f64 / now.0.max(1) as f64),
        _ => NONE.to_owned(),
    }
}

fn sure(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    }
}

/// "with MALLOC_ARENA_MAX=2 up to 120.0 MiB less: shop/cart/redis (glibc keeps them free)"
fn settings(all: &[Advice]) -> String {
    let mut out = String::new();
    for advice in all {
        let slack = advice.terms.iter().flat_map(|terms| &terms.slack);
        for of in slack {
            let setting = of.setting.as_ref().map(|setting| printable(setting));
            let with = setting.map_or_else(|| "without them".to_owned(), |setting| format!("with {setting}"));
            out.push_str(&format!(
                "{}: {} keeps {} free at the peak; {with}, up to that much less\n",
                printable(&advice.workload),
                printable(&of.allocator),
                of.bytes
            ));
        }
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// The outcomes of a backtest, one line for each workload, and their sum.
pub fn outcomes(tests: &[Backtest], style: Style) -> String {
    let mut head = vec!["WORKLOAD".to_owned(), "DAYS".to_owned()];
    for policy in Policy::ALL {
        head.extend([format!("{} KILLS", policy.name().to_uppercase()), "SLACK".to_owned()]);
    }
    let aligns: Vec<Align> =
        head.iter().enumerate().map(|(at, _)| if at == 0 { Align::Left } else { Align::Right }).collect();
    let mut rows = vec![head];
    for test in tests {
        let mut row = vec![keep_end(&printable(&test.workload), NAME, GAP), test.days.to_string()];
        for outcome in test.outcomes {
            let slack =
                outcome.slack.map_or_else(|| NONE.to_owned(), |slack| format!("{:.0} %", slack * 100.0));
            let kills = if outcome.days == 0 { NONE.to_owned() } else { outcome.kills.to_string() };
            row.extend([kills, slack]);
        }
        rows.push(row);
    }
    let mut out = String::new();
    let paints = std::iter::once(Paint::Heading).chain(std::iter::repeat(Paint::Plain));
    for (line, paint) in columns(&aligns, &rows).iter().zip(paints) {
        out.push_str(&style.paint(paint, line));
        out.push('\n');
    }
    if tests.iter().any(|test| test.is_lower_bound) {
        out.push_str("\nsome reached their limit in these days: what they needed is a lower bound\n");
    }
    out
}

#[cfg(test)]
#[path = "advice/tests.rs"]
mod tests;
