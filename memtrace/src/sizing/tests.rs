//! The formulas on 200 made-up workloads, and the table in docs/sizing.md.
//!
//! `UPDATE_GOLDEN=1 cargo test -p memtrace --lib sizing::tests` writes the table anew.

pub(crate) mod node;
pub(crate) mod traces;

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use self::traces::{DAYS, Shape, trace};
use super::{
    backtest::{Backtest, Policy, TRAINED, backtest},
    days::Days,
};

/// Seeds on which the formulas and the model were tried, besides 10,000 to 11,999. Seeds 1,000 to 1,199 and 2,000 to 2,199
/// were judged once each, and something changed after that (docs/sizing.md); they belong to these.
const TUNED: std::ops::Range<u64> = 0..200;
/// Seeds that are judged.
const JUDGED: std::ops::Range<u64> = 3_000..3_200;

const BEGIN: &str =
    "<!-- backtest: written by UPDATE_GOLDEN=1 cargo test -p memtrace --lib sizing::tests -->\n";
const END: &str = "<!-- end of backtest -->";

fn test(seed: u64) -> (Shape, Backtest) {
    let (shape, rows) = trace(seed);
    let mut days = Days::default();
    rows.iter().for_each(|row| days.push(row));
    (shape, backtest(format!("{} {seed}", shape.name()), &days.finish()).unwrap())
}

/// What a formula did over several traces.
#[derive(Clone, Copy, Default)]
struct Sum {
    kills: u32,
    killed: u32,
    days: u32,
    without: u32,
    slack: f64,
    slacks: u32,
}

impl Sum {
    fn slack(&self) -> f64 {
        self.slack / f64::from(self.slacks.max(1))
    }
}

fn sums(tests: &[&Backtest]) -> [Sum; Policy::ALL.len()] {
    let mut sums = [Sum::default(); Policy::ALL.len()];
    for (sum, outcome) in tests.iter().flat_map(|test| test.outcomes).map(|outcome| (outcome.policy, outcome))
    {
        let sum = &mut sums[sum as usize];
        sum.kills += outcome.kills;
        sum.killed += u32::from(outcome.kills > 0);
        sum.days += outcome.days;
        sum.without += outcome.days_without;
        if let Some(slack) = outcome.slack {
            sum.slack += slack;
            sum.slacks += 1;
        }
    }
    sums
}

fn table(tests: &[(Shape, Backtest)]) -> String {
    let mut by_shape: BTreeMap<Shape, Vec<&Backtest>> = BTreeMap::new();
    tests.iter().for_each(|(shape, test)| by_shape.entry(*shape).or_default().push(test));
    let mut out = String::from(
        "| shape | memtrace: kills | slack | days without a number | VPA: kills | slack | KRR: kills | slack |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut line = |name: &str, tests: &[&Backtest]| {
        let [own, vpa, krr] = sums(tests);
        let percent = |sum: &Sum| {
            if sum.slacks == 0 { "-".to_owned() } else { format!("{:.0} %", sum.slack() * 100.0) }
        };
        let without = 100.0 * f64::from(own.without) / f64::from((own.days + own.without).max(1));
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {without:.0} % | {} | {} | {} | {} |",
            own.kills,
            percent(&own),
            vpa.kills,
            percent(&vpa),
            krr.kills,
            percent(&krr),
        );
    };
    for (shape, tests) in &by_shape {
        line(shape.name(), tests);
    }
    line("**all**", &tests.iter().map(|(_, test)| test).collect::<Vec<_>>());
    let [own, vpa, krr] = sums(&tests.iter().map(|(_, test)| test).collect::<Vec<_>>());
    let _ = writeln!(
        out,
        "\n{} traces of {DAYS} days, judged from day {}; a kill is a day on which a trace needed more than its limit. \
         Traces with a kill: memtrace {}, VPA {}, KRR {}.",
        tests.len(),
        TRAINED + 1,
        own.killed,
        vpa.killed,
        krr.killed,
    );
    out
}

#[test]
fn no_trace_that_the_rules_never_saw_is_killed_and_little_is_wasted() {
    let tests: Vec<_> = JUDGED.map(test).collect();
    let killed: Vec<&Backtest> =
        tests.iter().map(|(_, test)| test).filter(|test| test.outcomes[0].kills > 0).collect();
    assert!(killed.is_empty(), "{killed:#?}\n{}", table(&tests));
    let [own, ..] = sums(&tests.iter().map(|(_, test)| test).collect::<Vec<_>>());
    assert!(own.slack() <= 0.15, "{}", table(&tests));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sizing.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (told, after) = rest.split_once(END).unwrap();
    let table = table(&tests);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        return fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    }
    assert_eq!(told, table, "docs/sizing.md tells what the formulas did before");
}

/// The seeds for trying: `cargo test -p memtrace --lib sizing::tests::tuning -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table, to try a change of a formula or the model on"]
fn tuning() {
    let tests: Vec<_> =
        TUNED.chain(1_000..1_200).chain(2_000..2_200).chain(10_000..12_000).map(test).collect();
    for (_, test) in tests.iter().filter(|(_, test)| test.outcomes[0].kills > 0) {
        println!("{} {:?}", test.workload, test.outcomes[0]);
    }
    println!("{}", table(&tests));
}

#[test]
fn a_seed_gives_the_same_trace_and_another_one_another() {
    assert_eq!(trace(7).1, trace(7).1);
    assert_ne!(trace(7).1, trace(17).1);
    let shapes: Vec<Shape> = (0..10).map(|seed| trace(seed).0).collect();
    assert_eq!(shapes, Shape::ALL);
}

/// Days with growth are those of leaks, and of the beginning of a warm-up.
#[test]
fn growth_is_found_where_it_is() {
    for (shape, test) in TUNED.take(40).map(test) {
        let own = test.outcomes[0];
        match shape {
            Shape::Leak | Shape::WarmUp => {}
            _ => assert_eq!(own.days_without, 0, "{}", test.workload),
        }
    }
}
