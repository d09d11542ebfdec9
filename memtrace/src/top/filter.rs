//! The filter language: which rows are shown.
//!
//! `redis ns=shop mem>512m !verdict~leak /cart-[0-9]/` -> a test on rows: all terms must hold. Pure. Column names are
//! those of the filtered rows; the column decides whether a number means bytes, a share or a time.

mod number;

use regex::{Regex, RegexBuilder};

use super::{
    column::{self, Column, Kind},
    rows::{By, Row},
    value::Value,
};

/// The largest compiled regular expression in bytes; it is compiled for each typed letter.
const REGEX_SIZE: usize = 1 << 20;

/// The language, for help.
pub const HELP: &[(&str, &str)] = &[
    ("redis", "text in any column, ignoring case"),
    ("/cart-[0-9]+/", "a regular expression in any column"),
    ("ns=shop pod=cart-*", "column has this value; * matches anything"),
    ("cgroup~kubepods", "column matches a regular expression"),
    ("mem>512m eta<10m %>=80", "column compared with a size, a time, a share"),
    ("limit=-", "column without a value"),
    ("!redis  !mem<1g", "the opposite"),
    ("\"two words\"", "text with spaces or operators"),
];

/// A test on rows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    is_inverted: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Any(Regex),
    Of(usize, Is),
}

#[derive(Clone, Debug)]
enum Is {
    Unknown,
    Like(Regex),
    Number(Comparison, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Filter {
    /// Parses a filter for rows of a kind.
    ///
    /// # Errors
    /// What is wrong with it, for the user.
    pub fn parse(text: &str, by: By) -> Result<Self, String> {
        let columns = by.columns();
        let terms = split(text)?.into_iter().map(|word| term(&word, &columns)).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// True when every row passes.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row passes.
    pub fn passes(&self, row: &Row) -> bool {
        self.terms.iter().all(|term| term.test.holds(row) != term.is_inverted)
    }
}

impl Test {
    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Any(regex) => row.values.iter().any(|value| is_like(value, regex)),
            Self::Of(at, is) => row.values.get(*at).is_some_and(|value| match is {
                Is::Unknown => value.is_unknown(),
                Is::Like(regex) => is_like(value, regex),
                Is::Number(comparison, than) => {
                    value.number().is_some_and(|number| comparison.holds(number, *than))
                }
            }),
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, than: f64) -> bool {
        match self {
            Self::Less => number < than,
            Self::AtMost => number <= than,
            Self::Equal => number == than,
            Self::AtLeast => number >= than,
            Self::More => number > than,
        }
    }
}

/// Matches words and ids; other numbers are not text.
fn is_like(value: &Value, regex: &Regex) -> bool {
    match value {
        Value::Text(words) => regex.is_match(words),
        Value::Number(number) => regex.is_match(&number.to_string()),
        Value::Unknown
        | Value::Bytes(_)
        | Value::Change(_)
        | Value::Share(_)
        | Value::Count(_)
        | Value::Seconds(_)
        | Value::Time(_)
        | Value::Trend(_) => false,
    }
}

/// Splits at spaces outside quotes and regular expressions.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut open = None;
    for c in text.chars() {
        match open {
            Some(end) => {
                word.push(c);
                if c == end {
                    open = None;
                }
            }
            None if c.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
            }
            None => {
                // A slash starts a regular expression only at the start of a word, because paths have slashes too.
                if c == '"' || (c == '/' && matches!(word.as_str(), "" | "!") && is_closed(text)) {
                    open = Some(c);
                }
                word.push(c);
            }
        }
    }
    if open == Some('"') {
        return Err("the quote is not closed".to_owned());
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

/// Whether a regular expression is closed; a typed path, `/kubepods/a`, has no slash at its end.
fn is_closed(text: &str) -> bool {
    text.split_whitespace().any(|word| word.len() > 1 && word.ends_with('/'))
}

fn term(word: &str, columns: &[&'static Column]) -> Result<Term, String> {
    let (is_inverted, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
    let regex = |word: &str| regex(word).map(Test::Any);
    let test = if let Some(inner) = word.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        regex(inner)?
    } else if let Some(inner) = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        regex(&regex::escape(inner))?
    } else if let Some((name, sign, rest)) = signed(word, columns) {
        let (at, column) = column::find(columns, name).map_err(|unknown| unknown.to_string())?;
        let (sign, flipped) = if sign == "!=" { ("=", true) } else { (sign, false) };
        let test = Test::Of(at, is(column, sign, rest.trim_matches('"'))?);
        return Ok(Term { is_inverted: is_inverted != flipped, test });
    } else {
        regex(&regex::escape(word))?
    };
    Ok(Term { is_inverted, test })
}

/// Splits a word into name, operator and value.
fn signed<'w>(word: &'w str, columns: &[&'static Column]) -> Option<(&'w str, &'static str, &'w str)> {
    let end = word.find(['!', '=', '~', '>', '<'])?;
    let (name, rest) = word.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    // Some titles contain other characters, such as GROW/s; other words with such characters are text.
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '%' | '#');
    if !name.chars().all(is_name) && column::find(columns, name).is_err() {
        return None;
    }
    ["!=", ">=", "<=", "=", "~", ">", "<"]
        .into_iter()
        .find_map(|sign| Some((name, sign, rest.strip_prefix(sign)?)))
}

fn is(column: &Column, sign: &str, rest: &str) -> Result<Is, String> {
    if rest.is_empty() {
        return Err(format!("{}{sign} what?", column.shortest()));
    }
    let comparison = match sign {
        "~" => return regex(rest).map(Is::Like),
        "=" if rest == "-" => return Ok(Is::Unknown),
        "<" => Comparison::Less,
        "<=" => Comparison::AtMost,
        ">=" => Comparison::AtLeast,
        ">" => Comparison::More,
        _ => Comparison::Equal,
    };
    match (column.kind, comparison) {
        (Kind::Name | Kind::Words(_) | Kind::Sentence, Comparison::Equal) => {
            let parts: Vec<_> = rest.split('*').map(regex::escape).collect();
            regex(&format!("^{}$", parts.join(".*"))).map(Is::Like)
        }
        (Kind::Name | Kind::Words(_) | Kind::Sentence, _) => {
            Err(format!("{} is text: use = or ~", column.shortest()))
        }
        (kind, comparison) => Ok(Is::Number(comparison, number::read(kind, rest)?)),
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).case_insensitive(true).size_limit(REGEX_SIZE).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "that regular expression is too large".to_owned(),
        error => {
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("not a regular expression: {why}")
        }
    })
}

#[cfg(test)]
mod tests;
