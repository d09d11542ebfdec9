//! Tables and patches of made-up advice.

use jiff::Timestamp;

use super::{PatchError, Style, advice, outcomes, patch};
use crate::{
    container::workload::{OwnerKind, Workload},
    history::lasting::ArenaUse,
    sizing::{
        advise::{Advice, advise},
        backtest::backtest,
        days::{Day, ROWS},
    },
    units::Bytes,
};

const MIB: u64 = 1 << 20;

fn days(count: u32, peak: impl Fn(u32) -> u64) -> Vec<Day> {
    let day = |number| Day {
        number: 20_000 + number,
        rows: ROWS,
        readings: 86_400,
        peak: Some(Bytes(peak(number) * MIB)),
        scraped: Some(Bytes(peak(number) * MIB)),
        hours: [Some(Bytes(peak(number) * MIB)); 24],
        limit: Some(Bytes(2000 * MIB)),
        start: Some(Bytes(MIB)),
        ..Day::default()
    };
    (0..count).map(day).collect()
}

fn of(owner: &str, container: &str, kind: OwnerKind, days: &[Day]) -> Advice {
    let workload = Workload {
        namespace: if kind == OwnerKind::None { String::new() } else { "shop".into() },
        owner: owner.into(),
        container: container.into(),
        kind,
        ..Workload::default()
    };
    advise(&workload, days, Timestamp::from_second(20_100 * 86_400).unwrap())
}

fn cart(container: &str) -> Advice {
    of("cart", container, OwnerKind::Deployment, &days(14, |_| 500))
}

#[test]
fn a_row_has_the_numbers_what_they_save_and_why() {
    let mut with_slack = days(14, |_| 500);
    with_slack.last_mut().unwrap().arenas = vec![ArenaUse {
        allocator: "glibc".into(),
        used: None,
        free: Some(Bytes(120 * MIB)),
        setting: Some("MALLOC_ARENA_MAX=2".into()),
    }];
    with_slack.last_mut().unwrap().peak = Some(Bytes(501 * MIB));
    let all = [
        of("cart", "redis", OwnerKind::Deployment, &with_slack),
        of("cart", "leaky", OwnerKind::Deployment, &days(14, |day| 500 + u64::from(day) * 100)),
    ];
    let text = advice(&all, Style::default(), true);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("WORKLOAD"), "{text}");
    for part in ["shop/cart/redis", "2.0 GiB", "saves 1.5 GiB", "high", "14.0", "peak 501.0 MiB on"] {
        assert!(lines[1].contains(part), "{part}: {text}");
    }
    assert!(lines[2].contains("grows by 100.0 MiB a day") && lines[2].contains("at 90 %"), "{text}");
    assert!(text.contains("with MALLOC_ARENA_MAX=2, up to that much less"), "{text}");
}

#[test]
fn a_patch_is_for_one_owner_and_all_of_its_containers() {
    let none = of("cart", "new", OwnerKind::Deployment, &days(14, |_| 1)[..0]);
    let patch = patch(&[cart("redis"), cart("web"), none]).unwrap();
    assert_eq!(
        patch,
        "# kubectl -n shop patch deployment cart --type strategic --patch-file THIS-FILE
spec:
  template:
    spec:
      containers:
      - name: \"redis\"
        # 14.0 days: peak 500.0 MiB on 10-17 + 10.0 MiB (2 %)
        resources:
          requests:
            memory: 500Mi
          limits:
            memory: 510Mi
      - name: \"web\"
        # 14.0 days: peak 500.0 MiB on 10-17 + 10.0 MiB (2 %)
        resources:
          requests:
            memory: 500Mi
          limits:
            memory: 510Mi
      # new: no number: 0.0 h of history: advice needs 24 h
"
    );
}

#[test]
fn what_cannot_be_patched_says_why() {
    let other = of("db", "postgres", OwnerKind::StatefulSet, &days(14, |_| 500));
    let error = patch(&[cart("redis"), other]).unwrap_err();
    assert_eq!(error, PatchError::Several { owners: vec!["shop/cart".into(), "shop/db".into()] });
    let unit = of("", "redis.service", OwnerKind::None, &days(14, |_| 500));
    assert!(patch(&[unit]).unwrap_err().to_string().contains("MemoryMax="));
    let leak = of("cart", "leaky", OwnerKind::Deployment, &days(14, |day| 500 + u64::from(day) * 100));
    assert!(patch(&[leak]).unwrap_err().to_string().contains("no number for shop/cart/leaky: grows by"));
}

#[test]
fn a_backtest_is_a_line_with_every_formula() {
    let test = backtest("shop/cart/redis".into(), &days(14, |_| 500)).unwrap();
    let text = outcomes(&[test], Style::default());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("MEMTRACE KILLS") && lines[0].contains("VPA KILLS"), "{text}");
    assert!(lines[1].starts_with("shop/cart/redis     6"), "{text}");
}
