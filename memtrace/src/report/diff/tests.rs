//! The forms of a comparison.

use super::{html, markdown, svg, text};
use crate::{
    report::style::Style,
    sizing::{
        diff::{
            Diff, Verdict, compare,
            side::{Figure, Origin, Sample, Series, Side},
        },
        made_of::{Amount, MadeOf, Stack},
    },
    units::Bytes,
};

const MIB: u64 = 1 << 20;

fn side(name: &str, levels: &[u64], functions: &[&str]) -> Side {
    let amount = |what: &str, mib: u64| Amount { what: what.to_owned(), bytes: Bytes(mib * MIB) };
    let sample =
        |(at, mib): (usize, &u64)| Sample { at: at as i64 * 300, bytes: Bytes(mib * MIB), load: None };
    let level = levels.first().copied().unwrap_or_default();
    let stack = |name: &&str| Stack {
        bytes: Bytes(level * MIB / 2),
        frames: vec![(*name).to_owned(), "main".to_owned()],
    };
    Side {
        name: name.to_owned(),
        what: "rows of <web>".to_owned(),
        origin: Origin::History,
        program: None,
        version: None,
        figures: vec![Series {
            figure: Figure::FirmLevel,
            samples: levels.iter().enumerate().map(sample).collect(),
        }],
        kinds: vec![amount("anonymous memory", level - 3), amount("kernel memory", 2)],
        page_cache_bytes: None,
        made_of: Some(MadeOf {
            at: 0.0,
            total_bytes: None,
            parts: vec![amount("glibc", level - 9)],
            remainder_bytes: None,
            programs: Vec::new(),
            allocators: Vec::new(),
            stacks: functions.iter().map(stack).collect(),
            stacks_left_out: 0,
        }),
        kills: 0,
        restarts: 0,
    }
}

fn diff(before: &[u64], after: &[u64]) -> Diff {
    compare(&side("old", before, &["fill", "gone"]), &side("new", after, &["fill", "</svg><script>"]), false)
        .unwrap()
}

fn first(diff: &Diff) -> String {
    text(diff, Style { width: 300, ..Style::default() }).lines().next().unwrap().to_owned()
}

#[test]
fn the_first_line_is_the_answer() {
    let more = diff(&[250; 8], &[281; 8]);
    assert_eq!(first(&more), "B uses 31.0 MiB (12 %) more than A; 95 % interval 31.0 MiB to 31.0 MiB");
    let less = diff(&[281; 8], &[250; 8]);
    assert_eq!(first(&less), "B uses 31.0 MiB (11 %) less than A; 95 % interval 31.0 MiB to 31.0 MiB");
    let same = diff(&[250; 8], &[251; 8]);
    assert_eq!(
        first(&same),
        "no change shown: B uses 1.0 MiB (0.4 %) more than A; 95 % interval 1.0 MiB to 1.0 MiB; a shift of 5.0 MiB \
         (2.0 %) would have been shown"
    );
    let few = diff(&[250; 8], &[281; 4]);
    assert_eq!(
        first(&few),
        "not enough data: 10 more minutes of B; so far B uses 31.0 MiB (12 %) more than A"
    );
    assert!(first(&diff(&[0; 8].map(|_| 9), &[9; 8])).starts_with("no change shown: B uses as much as A"));
}

#[test]
fn every_form_has_the_parts_and_their_remainder() {
    let diff = diff(&[250; 8], &[281; 8]);
    assert_eq!(diff.verdict, Verdict::Regression);
    for form in [text(&diff, Style::default()), markdown(&diff), html(&diff)] {
        for word in
            ["Most of it: anonymous memory (+31.0 MiB)", "not in these parts", "By call stack", "glibc"]
        {
            assert!(form.contains(word), "no {word} in {form}");
        }
    }
    for form in [markdown(&diff), html(&diff)] {
        assert!(!form.contains("<script") && !form.contains("<web>"), "{form}");
    }
    assert_eq!(serde_json::from_str::<Diff>(&serde_json::to_string(&diff).unwrap()).unwrap(), diff);
}

#[test]
fn the_flame_graph_shows_what_came_and_what_is_gone() {
    let diff = diff(&[250; 8], &[281; 8]);
    let svg = svg(&diff).unwrap();
    assert!(svg.contains("<title>gone: A 125.0 MiB, B 0 B</title>") && svg.contains("#5a5ae8"), "{svg}");
    assert!(svg.contains("<title>fill: A 125.0 MiB, B 140.5 MiB</title>"), "{svg}");
    assert!(
        svg.contains("<title>main: A 250.0 MiB, B 281.0 MiB</title>") && svg.contains("&lt;script&gt;"),
        "{svg}"
    );
    assert!(svg.starts_with("<svg xmlns=") && !svg.contains("<script"), "{svg}");
    let none = compare(&side("a", &[9; 8], &[]), &side("b", &[9; 8], &[]), false).unwrap();
    assert_eq!(super::svg(&none), None);
}
