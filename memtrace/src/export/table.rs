//! Flat rows for other programs: one object a line, or comma-separated fields.
//!
//! Values by [`Column`] -> NDJSON or CSV on a stream. Must not hold more than a row.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::text::csv;

/// The form of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object per line; unknown values are `null`.
    Ndjson,
    /// RFC 4180 with a header; unknown values are empty.
    Csv,
}

/// A column.
pub struct Column<T: ?Sized> {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What it is, for the documentation.
    pub about: &'static str,
    /// Its value.
    pub get: fn(&T) -> Value,
}

/// A value, or null when it is unknown.
pub(super) fn value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Writes rows.
pub struct Rows<'a, T: ?Sized + 'static> {
    columns: &'static [Column<T>],
    form: Form,
    out: &'a mut dyn Write,
}

impl<'a, T: ?Sized> Rows<'a, T> {
    /// Begins the output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(columns: &'static [Column<T>], form: Form, out: &'a mut dyn Write) -> io::Result<Self> {
        if form == Form::Csv {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            write!(out, "{}\r\n", names.join(","))?;
        }
        Ok(Self { columns, form, out })
    }

    /// Writes one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, of: &T) -> io::Result<()> {
        let Self { columns, form, out } = self;
        for (index, Column { name, get, .. }) in columns.iter().enumerate() {
            let value = get(of);
            match (&*form, index) {
                (Form::Ndjson, 0) => write!(out, "{{\"{name}\":{value}")?,
                (Form::Ndjson, _) => write!(out, ",\"{name}\":{value}")?,
                (Form::Csv, 0) => write!(out, "{}", field(&value))?,
                (Form::Csv, _) => write!(out, ",{}", field(&value))?,
            }
        }
        match form {
            Form::Ndjson => writeln!(out, "}}"),
            Form::Csv => write!(out, "\r\n"),
        }
    }
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => csv::field(text),
        other => other.to_string(),
    }
}

/// The columns as a table for the documentation.
#[cfg(test)]
pub(super) fn documented<T: ?Sized>(columns: &[Column<T>]) -> String {
    let rows = columns.iter().map(|Column { name, about, .. }| format!("| `{name}` | {about} |\n"));
    format!("| column | meaning |\n|---|---|\n{}", rows.collect::<String>())
}

/// Checks that docs/export.md has these columns, below the mark of their name; UPDATE_GOLDEN writes them there.
#[cfg(test)]
pub(super) fn check_documentation<T: ?Sized>(name: &str, columns: &[Column<T>]) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let begin = format!("<!-- {name}: written by UPDATE_GOLDEN=1 cargo test -p memtrace --lib export -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    let expected = documented(columns);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, expected, "run it with UPDATE_GOLDEN=1");
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Form, Rows, value};

    type Pair = (Option<u64>, &'static str);

    static COLUMNS: &[Column<Pair>] = &[
        Column { name: "size_bytes", about: "its size", get: |of| value(of.0) },
        Column { name: "name", about: "its name", get: |of| value(of.1) },
    ];

    fn written(form: Form, rows: &[Pair]) -> String {
        let mut out = Vec::new();
        let mut table = Rows::begin(COLUMNS, form, &mut out).unwrap();
        rows.iter().for_each(|row| table.write(row).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_unknown_is_null_or_empty_and_never_nought() {
        let rows = [(None, "a"), (Some(0), "-1,\"b\"")];
        assert_eq!(written(Form::Csv, &rows), "size_bytes,name\r\n,a\r\n0,\"'-1,\"\"b\"\"\"\r\n");
        let ndjson = written(Form::Ndjson, &rows);
        let lines: Vec<serde_json::Value> =
            ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], serde_json::json!({ "size_bytes": null, "name": "a" }));
        assert_eq!(lines[1], serde_json::json!({ "size_bytes": 0, "name": "-1,\"b\"" }));
    }
}
