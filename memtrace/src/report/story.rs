//! Stories as text: for each workload what its kills have in common, and what a higher limit would buy.
//!
//! [`Story`]s -> lines. Must not add information.

use std::fmt::Write as _;

use super::style::{Paint, Style};
use crate::{
    oom::story::{Common, Story},
    text::printable,
    verdict::rate,
};

/// Writes the stories, or a line that there is none.
pub fn stories(stories: &[Story], style: Style) -> String {
    if stories.is_empty() {
        return "no workload was OOM-killed twice\n".to_owned();
    }
    let told: Vec<String> = stories.iter().map(|story| told(story, style)).collect();
    told.join("\n")
}

fn told(story: &Story, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", style.paint(Paint::Heading, &printable(&headline(story))));
    let mut field = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<10}  {}", printable(&value));
    };
    let of = |kills: usize| {
        if kills == story.kills {
            "in all of them".to_owned()
        } else {
            format!("in {kills} of {}", story.kills)
        }
    };
    if let Some(Common { value, kills }) = &story.cause {
        field("cause", format!("{}, {}", value.label(), of(*kills)));
    }
    if let Some(Common { value, kills }) = &story.grew_at {
        field("grew at", format!("{value}, {}", of(*kills)));
    }
    if let Some(limit) = story.limit_bytes {
        let buys = story
            .doubled_buys_seconds
            .map(|seconds| format!("; twice as much would last {} longer", span(seconds)));
        field("limit", format!("{limit}{}", buys.unwrap_or_default()));
    }
    field("last", story.ids.first().cloned().unwrap_or_default());
    out
}

/// "shop/cart/redis: 3 kills of redis-server in 12 min, each 25 s to 27 s after its start, growing by 9.0 MiB/s"
fn headline(story: &Story) -> String {
    let Story { workload, kills, first, last, victim, age_seconds, bytes_per_second, .. } = story;
    let within = span(last.duration_since(*first).as_secs_f64());
    let age = age_seconds.map_or_else(String::new, |[low, _, high]| {
        let (low, high) = (span(low), span(high));
        let range = if low == high { low } else { format!("{low} to {high}") };
        format!(", each {range} after its start")
    });
    let growth = bytes_per_second.filter(|[_, median, _]| *median >= 1.0).map_or_else(
        String::new,
        |[low, median, high]| {
            let is_alike = high <= low * 1.5;
            let range = if is_alike { rate(median) } else { format!("{} to {}", rate(low), rate(high)) };
            format!(", growing by {range}")
        },
    );
    format!("{workload}: {kills} kills of {} in {within}{age}{growth}", victim.value)
}

/// A time span in its largest unit.
fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oom::cause::CauseKind, units::Bytes};

    #[test]
    fn a_story_reads_like_a_sentence() {
        let at = |second: i64| jiff::Timestamp::new(1_780_000_000 + second, 0).unwrap();
        let mib = |mib: f64| mib * f64::from(1 << 20);
        let story = Story {
            workload: "shop/cart/java".to_owned(),
            kills: 3,
            first: at(0),
            last: at(720),
            victim: Common { value: "java".to_owned(), kills: 3 },
            cause: Some(Common { value: CauseKind::Ceiling, kills: 2 }),
            grew_at: Some(Common { value: "OrderService.loadAll".to_owned(), kills: 3 }),
            age_seconds: Some([25.0, 26.0, 27.0]),
            bytes_per_second: Some([mib(8.8), mib(9.0), mib(9.1)]),
            limit_bytes: Some(Bytes(256 << 20)),
            doubled_buys_seconds: Some(28.4),
            ids: vec!["20261128T101112Z-3070".to_owned()],
        };
        let text = stories(&[story], Style::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "shop/cart/java: 3 kills of java in 12 min, each 25 s to 27 s after its start, growing by 9.0 MiB/s"
        );
        assert!(
            lines[1].contains("in 2 of 3") && lines[2].contains("OrderService.loadAll, in all of them"),
            "{text}"
        );
        assert!(lines[3].contains("twice as much would last 28 s longer"), "{text}");
        assert_eq!(stories(&[], Style::default()), "no workload was OOM-killed twice\n");
    }
}
