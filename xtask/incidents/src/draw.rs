//! Draws: a recipe and a seed -> what is run.
//!
//! The same seed gives the same values, whatever else is drawn. Pure.

use std::collections::BTreeMap;

use super::recipe::{Range, Recipe};

/// The values of a recipe's parameters, by name.
pub(crate) type Values = BTreeMap<String, String>;

/// Draws all parameters. Their names are sorted, so that their order in the file does not matter.
pub(crate) fn values(recipe: &Recipe, seed: u64) -> Values {
    let mut random = fastrand::Rng::with_seed(seed ^ hash(&recipe.name));
    let mut numbers = BTreeMap::new();
    let mut values = Values::new();
    for (name, range) in &recipe.parameters {
        match range {
            Range::Number { from, to } => {
                let number = random.i64(*from..=*to);
                numbers.insert(name.as_str(), number);
                values.insert(name.clone(), number.to_string());
            }
            Range::Word { one_of } => {
                let word = random.choice(one_of).cloned().unwrap_or_default();
                values.insert(name.clone(), word);
            }
            Range::Share { .. } => {}
        }
    }
    for (name, range) in &recipe.parameters {
        if let Range::Share { of, from_percent, to_percent } = range {
            let percent = random.i64(*from_percent..=*to_percent);
            let whole = numbers.get(of.as_str()).copied().unwrap_or_default();
            values.insert(name.clone(), (whole.saturating_mul(percent) / 100).to_string());
        }
    }
    values
}

/// FNV-1a: two recipes with the same seed do not draw the same numbers.
fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Puts values in place of `{name}`; a name without a value stays, so that it is seen.
pub(crate) fn fill(text: &str, values: &Values) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// The words of a command. A word that is `{setting}` alone becomes as many words as the setting has.
pub(crate) fn command(words: &[String], values: &Values, setting: &str) -> Vec<String> {
    let of_word = |word: &String| match word.as_str() {
        "{setting}" => setting.split_whitespace().map(str::to_owned).collect(),
        _ => vec![fill(word, values)],
    };
    words.iter().flat_map(of_word).collect()
}

/// Which recipe is drawn when, and with which seed: each equally often, in an order of the seed's own. One recipe alone
/// begins with the seed itself, which is what repeats a draw.
pub(crate) fn plan(recipes: usize, draws: usize, seed: u64) -> Vec<(usize, u64)> {
    let mut order: Vec<usize> = (0..recipes).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    order
        .into_iter()
        .cycle()
        .take(draws)
        .zip(0..)
        .map(|(recipe, number)| (recipe, seed.wrapping_add(number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::recipe::tests::leak, *};

    #[test]
    fn a_seed_repeats_its_values_and_another_has_others() {
        let recipe = leak();
        assert_eq!(values(&recipe, 42), values(&recipe, 42));
        let of = |seed| values(&recipe, seed);
        assert!((0..20).any(|seed| of(seed) != of(42)));
    }

    #[test]
    fn values_are_in_their_ranges() {
        let recipe = leak();
        for seed in 0..200 {
            let values = values(&recipe, seed);
            let number = |name: &str| values[name].parse::<i64>().unwrap();
            let (limit, base) = (number("limit"), number("base"));
            assert!((64..=128).contains(&limit) && (500..=8000).contains(&number("block")));
            assert!(base >= limit * 10 / 100 && base <= limit * 20 / 100, "{base} of {limit}");
        }
    }

    #[test]
    fn a_setting_is_as_many_words_as_it_has() {
        let words = ["java", "{setting}", "-cp", "{out}", "{absent}"].map(str::to_owned);
        let values = Values::from([("out".to_owned(), "/x".to_owned())]);
        let filled = |setting| command(&words, &values, setting).join(" ");
        assert_eq!(filled("-Xmx1g -Xss1m"), "java -Xmx1g -Xss1m -cp /x {absent}");
        assert_eq!(filled(""), "java -cp /x {absent}");
    }

    #[test]
    fn every_recipe_is_drawn_equally_often_and_a_draw_can_be_repeated() {
        let plan_of_all = plan(5, 20, 7);
        assert!((0..5).all(|recipe| plan_of_all.iter().filter(|(drawn, _)| *drawn == recipe).count() == 4));
        let (_, seed) = plan_of_all[13];
        assert_eq!(plan(1, 1, seed), [(0, seed)]);
    }
}
