//! The results as text, and as docs/diagnosis.md.
//!
//! [`Results`] -> text, Markdown. Pure. Must not leave out a miss.

use super::results::{Count, Results, Row, repeat};

const HEADS: [&str; 13] = [
    "recipe",
    "kind",
    "draws",
    "not judged",
    "headline",
    "sure and wrong",
    "owner",
    "98 % owned",
    "function",
    "figures",
    "alone",
    "remedy",
    "seconds",
];

const INTRODUCTION: &str = "# Diagnosis: what memtrace says, and what was true

Written by `cargo xtask incidents --update`; do not edit it. Each recipe in `incidents/` is a program that fails in a known
way. Sizes, rates and limits are drawn at random. [incidents.md](incidents.md) says how a draw is judged.

- *headline*: the cause or the first finding is right; *sure and wrong*: it is wrong and has high confidence
- *owner*: the allocator with most of the memory, or the kind of memory; *98 % owned*: so much anonymous memory has an owner
- *function*: the function that takes the memory is among the first three frames
- *figures*: within 2 % of what the program says itself, unless its recipe says otherwise; in brackets the largest error
- *alone*: `memtrace explain --alone` says the same as the daemon, in what needs no history
- *remedy*: with the advice the same load lives, or frees what was promised
";

/// For a terminal.
pub(crate) fn text(results: &Results) -> String {
    let table: Vec<Vec<String>> = table(results);
    let width = |column: usize| {
        table
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = String::new();
    for row in &table {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    for (drawn, misses) in results.misses() {
        text.push_str(&format!("\nmiss: {}\n", repeat(drawn)));
        misses.iter().for_each(|miss| text.push_str(&format!("  {miss}\n")));
    }
    for not_run in &results.not_run {
        text.push_str(&format!("\nnot run: {} ({})\n", not_run.recipe, not_run.why));
    }
    text
}

/// docs/diagnosis.md.
pub(crate) fn markdown(results: &Results) -> String {
    let Results { seed, kernel, cgroups, draws, not_run, not_drawn } = results;
    let mut text = INTRODUCTION.to_owned();
    text.push_str(&format!(
        "\n{} draws from seed {seed}, Linux {kernel}, cgroup {cgroups}; {} recipes could not be run.\n\n",
        draws.len(),
        not_run.len()
    ));
    for (number, row) in table(results).iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if number == 0 {
            text.push_str(&format!("|{}\n", "---|".repeat(HEADS.len())));
        }
    }
    text.push_str("\n## Misses\n\n");
    let mut misses = results.misses().peekable();
    if misses.peek().is_none() {
        text.push_str("None.\n");
    }
    for (drawn, misses) in misses {
        text.push_str(&format!("- `{}`: {}\n", repeat(drawn), misses.join("; ")));
    }
    text.push_str("\n## Not run\n\n");
    if not_run.is_empty() && not_drawn.is_empty() {
        text.push_str("None.\n");
    }
    if !not_drawn.is_empty() {
        text.push_str(&format!("- not chosen in this run: {}\n", not_drawn.join(", ")));
    }
    for not_run in not_run {
        text.push_str(&format!("- {}: {}\n", not_run.recipe, not_run.why));
    }
    text
}

fn table(results: &Results) -> Vec<Vec<String>> {
    let heads = HEADS.iter().map(|&head| head.to_owned()).collect();
    [heads].into_iter().chain(results.rows().iter().map(cells)).collect()
}

fn cells(row: &Row) -> Vec<String> {
    let count = |count: Count| match count.all {
        0 => "-".to_owned(),
        all => format!("{}/{all}", count.right),
    };
    let worst = row.worst_percent.map(|worst| format!(" ({worst:.1} %)")).unwrap_or_default();
    vec![
        row.recipe.clone(),
        row.kind.clone(),
        row.draws.to_string(),
        row.not_judged.to_string(),
        count(row.headline),
        row.sure_and_wrong.to_string(),
        count(row.owner),
        count(row.owned),
        count(row.function),
        format!("{}{worst}", count(row.figures)),
        count(row.alone),
        count(row.remedy),
        format!("{:.0}", row.seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::results::tests::results, *};

    #[test]
    fn what_was_not_chosen_is_told_in_the_document() {
        assert!(markdown(&results()).contains("not chosen in this run: tight"));
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_head() {
        assert!(table(&results()).iter().all(|row| row.len() == HEADS.len()));
    }

    #[test]
    fn every_miss_and_every_recipe_that_was_not_run_is_told() {
        for told in [text(&results()), markdown(&results())] {
            assert_eq!(told.matches("cargo xtask incidents a --seed 7").count(), 1, "{told}");
            assert_eq!(told.matches("cargo xtask incidents b --seed 7").count(), 2, "{told}");
            assert!(told.contains("needs php") && told.contains("not judged: late"), "{told}");
            assert!(told.contains("2/3 (4.0 %)"), "{told}");
        }
    }
}
