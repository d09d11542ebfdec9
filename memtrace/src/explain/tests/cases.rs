//! Cases that were misjudged once: the figures of a target, and what a person with the same figures would say.

use super::*;

/// A page on a process with these rows and counters, whose counters were read at the epoch.
fn page_of(
    rows: Vec<ArenaRow>,
    counters: Vec<Counters>,
    facts: &Facts,
    seconds_later: i64,
) -> (Explanation, String) {
    let mut snapshot = snapshot();
    snapshot.time = Timestamp::from_second(seconds_later).unwrap();
    snapshot.processes = vec![process(7, "/pods/a/server", rows, counters)];
    let explanation = explain(&snapshot, None, facts, &find(&snapshot, "7").unwrap());
    let text = text(&explanation, Style::default());
    (explanation, text)
}

fn counters(allocator: &str, in_use: u64, free: u64) -> Counters {
    Counters {
        allocator: allocator.into(),
        allocated_bytes: Some(Bytes(in_use)),
        free_resident_bytes: Some(Bytes(free)),
        error_bytes: Some(Bytes(0)),
        ..Counters::default()
    }
}

/// The page without the breaks of its lines.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} in {text}"))
}

/// 400 MiB of small blocks, every second one freed since the reading: free() is silent.
#[test]
fn a_figure_is_exact_only_at_its_instant() {
    let at = |seconds| {
        let rows = vec![arena("glibc", "heap", 402 * MIB)];
        page_of(rows, vec![counters("glibc", 400 * MIB, 0)], &Facts::default(), seconds).1
    };
    let now = at(0);
    assert!(line(&now, "in use").contains("400.0 MiB  allocated by the program; exact"), "{now}");
    let later = at(15);
    assert!(
        line(&later, "in use").ends_with("allocated by the program; read 15 s ago; exact then"),
        "{later}"
    );
}

/// Go, 95 MiB of garbage collected since the reading: its bound knows nothing of the time.
#[test]
fn a_bound_does_not_hide_the_age_of_its_figure() {
    let go = Counters { error_bytes: Some(Bytes(316 << 10)), ..counters("go", 293 * MIB, MIB) };
    let (explanation, text) = page_of(vec![arena("go", "heap", 296 * MIB)], vec![go], &Facts::default(), 6);
    let said = "allocated by the program; read 6 s ago; error at most 316.0 KiB";
    assert!(flat(&text).contains(said), "{text}");
    assert_eq!(explanation.allocators[0].counters_read, Some(Timestamp::UNIX_EPOCH));
}

/// Redis was flushed, and its huge pages were collapsed: they fill what was given back.
#[test]
fn what_huge_pages_fill_is_not_needed() {
    let facts = Facts { huge: [(7, Bytes(200 * MIB))].into(), ..Facts::default() };
    let of = |facts: &Facts| {
        let rows = vec![arena("jemalloc", "extents", 210 * MIB)];
        page_of(rows, vec![counters("jemalloc", 16 * MIB, 0)], facts, 0)
    };
    let (explanation, text) = of(&facts);
    let finding = &explanation.findings[0];
    assert_eq!((finding.kind, finding.confidence), (Kind::Coverage, Confidence::Medium));
    let start = "huge pages hold 194.0 MiB of 210.0 MiB in jemalloc that the program does not use";
    assert!(finding.sentence.starts_with(start), "{}", finding.sentence);
    assert!(finding.remedies[0].text.contains("PR_SET_THP_DISABLE"));
    assert!(!line(&text, "  in use").contains("exact"), "{text}");
    assert!(line(&text, "filled by huge pages").contains("194.0 MiB"), "{text}");
    let needed = explanation.firm.iter().find(|part| part.means == "needed by the program").unwrap();
    assert_eq!(needed.bytes, Bytes(16 * MIB));
    assert!(flat(&text).contains("its figures cover 8 % of its memory"), "{text}");

    // Without the figure nothing is said of huge pages but that.
    let (explanation, text) = of(&Facts::default());
    assert_eq!(explanation.findings[0].confidence, Confidence::Low, "{:?}", explanation.findings);
    assert!(flat(&text).contains("whether huge pages fill it is not known"), "{text}");
    // Nor is a program that uses them well at fault.
    let rows = vec![arena("jemalloc", "extents", 210 * MIB)];
    let (explanation, text) = page_of(rows, vec![counters("jemalloc", 200 * MIB, 0)], &facts, 0);
    assert!(explanation.findings.is_empty() && text.contains("exact"), "{text}");
}

/// PHP keeps its memory in an allocator of its own; glibc, beside it, uses little.
#[test]
fn a_second_allocator_is_no_retention_of_the_first() {
    let rows = vec![arena("glibc", "heap", 98 * MIB)];
    let (explanation, text) = page_of(rows, vec![counters("glibc", 23 * MIB / 10, 0)], &Facts::default(), 0);
    let kinds: Vec<Kind> = explanation.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Coverage]);
    let sentence = &explanation.findings[0].sentence;
    assert!(sentence.contains("another allocator may live there"), "{sentence}");
    assert!(!text.contains("exact") && !text.contains("reserved, not leaked"), "{text}");
}

/// The ranges of `[heap]` were lost: more is in use than resident, and the rest has no owner.
#[test]
fn rows_that_contradict_each_other_say_so() {
    let mut snapshot = snapshot();
    let mut row = process(7, "/pods/a/server", vec![arena("glibc", "heap", 3 * MIB / 2)], vec![]);
    let of = Arc::make_mut(&mut row);
    of.rss_bytes = Some(Bytes(31 * MIB));
    let memory = of.memory.as_mut().unwrap();
    memory.counters = vec![counters("glibc", 29 * MIB, 0)];
    memory.unaccounted_bytes = Bytes(29 * MIB);
    snapshot.processes = vec![row];
    let explanation = explain(&snapshot, None, &Facts::default(), &find(&snapshot, "7").unwrap());
    let holding = &explanation.allocators[0];
    assert_eq!(holding.grade, Grade::Inferred);
    let text = text(&explanation, Style::default());
    assert!(!line(&text, "  in use").contains("exact"), "{text}");
    assert!(flat(&text).contains("where 27.5 MiB of what is in use are"), "{text}");
    assert!(flat(&text).contains("resident memory without an owner here"), "{text}");
}
