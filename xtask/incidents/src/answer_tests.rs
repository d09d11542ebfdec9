//! Records and pages that are made up.

use serde_json::json;

use super::*;

#[test]
fn a_record_is_read() {
    let frame = |module: &str, symbol: &str| json!({"module": module, "symbol": symbol});
    let record = json!({
        "ktime_ns": 10_000_000_000_u64,
        "cause": {
            "kind": "leak", "confidence": "medium", "sentence": "memory grew",
            "remedies": [{"text": "find it", "setting": null}, {"text": "raise", "setting": "1048576"}],
            "doubt": {"kind": "start_up", "settled_by": "wait"},
        },
        "composition": {"age_seconds": 0.5, "charge": {"usage_bytes": 100, "anon_bytes": 80, "active_file_bytes": 5,
                                   "inactive_file_bytes": 5, "sock_bytes": 4, "percpu_bytes": 1}},
        "victim_memory": {
            "counters_age_seconds": 2.0,
            "arenas": [
                {"allocator": "glibc", "kind": "heap", "resident_bytes": 60},
                {"allocator": "unattributed", "kind": "", "resident_bytes": 20},
                {"allocator": "module", "kind": "code", "resident_bytes": 900},
            ],
            "counters": [
                {"allocator": "glibc", "allocated_bytes": 50, "free_resident_bytes": 9, "settings": []},
                {"allocator": "jvm", "allocated_bytes": 7,
                 "settings": [{"name": "MaxHeapSize", "value": "512"}]},
            ],
            "growth_stacks": [{"frames": [
                frame("/lib/libc.so.6", "_int_malloc"), frame("/lib/libstdc++.so.6", "operator new(unsigned long)"),
                frame("/x/leak", "std::vector<char>::resize"), frame("/x/leak", "remember_session(long)"),
                frame("/x/leak", "main"),
            ]}],
        },
    });
    let answer = of_record(&record, Some("glibc"));
    assert_eq!((answer.headline.as_str(), answer.confidence), ("leak", Some(Confidence::Medium)));
    assert_eq!((answer.owner.as_deref(), answer.owned), (Some("glibc"), Some(0.75)));
    assert_eq!((answer.part.as_deref(), answer.figures["kernel"]), (Some("anon"), 5.0));
    assert_eq!((answer.figures["allocated"], answer.figures["free"]), (50.0, 9.0));
    assert_eq!(answer.functions, ["remember_session(long)", "main"]);
    assert_eq!((answer.figures_at, answer.settings), (Some(8_000_000_000), vec!["1048576".to_owned()]));
    assert_eq!(answer.charge_at, Some(9_500_000_000), "not when the allocator's figures were read");
    assert_eq!(answer.besides, ["start_up"]);
    let of_jvm = of_record(&record, Some("jvm"));
    assert_eq!((of_jvm.figures["allocated"], of_jvm.figures["heap_max"]), (7.0, 512.0));
}

#[test]
fn a_page_is_read() {
    let page = json!({
        "total_bytes": 100,
        "parts": [
            {"what": "anonymous memory", "bytes": 70, "parts": [
                {"what": "jemalloc", "bytes": 60, "parts": []}, {"what": "unknown owner", "bytes": 10, "parts": []}]},
            {"what": "file cache, active", "bytes": 10, "parts": []},
            {"what": "file cache, inactive", "bytes": 15, "parts": []},
        ],
        "allocators": [{"allocator": "jemalloc", "allocated_bytes": 20, "free_resident_bytes": 40}],
        "growth": {"seconds_to_limit": 33.5, "stacks": []},
        "findings": [
            {"kind": "retention", "confidence": "high", "sentence": "kept",
             "remedies": [{"text": "x", "setting": "MALLOC_CONF=a:b"}]},
            {"kind": "headroom", "confidence": "low", "sentence": "near", "remedies": []},
        ],
    });
    let answer = of_explanation(&page, Some("jemalloc"));
    assert_eq!((answer.headline.as_str(), answer.besides), ("retention", vec!["headroom".to_owned()]));
    assert_eq!((answer.owner.as_deref(), answer.part.as_deref()), (Some("jemalloc"), Some("anon")));
    assert_eq!((answer.figures["file"], answer.figures["free"]), (25.0, 40.0));
    assert_eq!(
        (answer.figures["seconds_to_limit"], answer.settings),
        (33.5, vec!["MALLOC_CONF=a:b".to_owned()])
    );
    assert!(answer.owned.is_some_and(|owned| (owned - 6.0 / 7.0).abs() < 1e-9));
}

/// As `leak-cpp` with seed 201: the largest stack ends in libc, and the report tells the next one.
#[test]
fn the_stack_that_is_told_is_judged() {
    let stack = |minute: u64, frames: &[(&str, &str)]| {
        let frame = |(module, symbol): &(&str, &str)| json!({"module": module, "symbol": symbol});
        json!({"bytes": [0, minute, 0], "frames": frames.iter().map(frame).collect::<Vec<_>>()})
    };
    let of =
        |stacks: Vec<Value>| of_record(&json!({"victim_memory": {"growth_stacks": stacks}}), None).functions;
    let ends = stack(9, &[("/lib/libc.so.6", "memset")]);
    let own = stack(6, &[("/lib/libc.so.6", "malloc"), ("/x/leak", "remember_session(long)")]);
    assert_eq!(of(vec![ends.clone(), stack(1, &[("/x/leak", "main")]), own]), ["remember_session(long)"]);
    let nameless = stack(8, &[("/lib/libc.so.6", "memset"), ("/x/leak", "")]);
    let none = of(vec![ends, nameless, stack(1, &[("/x/leak", "main")])]);
    assert_eq!(none, Vec::<String>::new(), "a smaller one with names does not stand for it");
}

#[test]
fn what_says_nothing_is_no_answer() {
    let answer = of_explanation(&json!({}), None);
    assert_eq!((answer.headline.as_str(), answer.owner, answer.owned), ("none", None, None));
    assert_eq!(of_record(&json!({}), None).headline, "");
}

#[test]
fn a_page_without_a_daemon_is_compared_in_what_it_can_know() {
    let page = |kinds: &[&str], free: f64| Answer {
        headline: kinds.first().map_or_else(|| "none".to_owned(), |&kind| kind.to_owned()),
        besides: kinds.iter().skip(1).map(|&kind| kind.to_owned()).collect(),
        figures: [("free".to_owned(), free), ("seconds_to_limit".to_owned(), 1.0)].into(),
        ..Answer::default()
    };
    let same = differences(&page(&["growth", "retention"], 100e6), &page(&["retention"], 101e6));
    assert_eq!(same, Vec::<String>::new());
    let other = differences(&page(&["retention"], 100e6), &page(&[], 50e6));
    assert_eq!(other, ["findings [], not [retention]", "free 50000000, not 100000000"]);
}
