//! Rows for programs: raw figures with the field names.
//!
//! Sizes are in bytes, shares between 0 and 1, times in RFC 3339; unknown values are `null`, or an empty field.

use std::fmt::Write as _;

use serde_json::{Map, json};

use super::{Options, chosen};
use crate::{
    text::csv,
    top::{
        column::Column,
        rows::{Data, Row, Table},
        value::Value,
    },
};

/// Version of the rows' JSON form.
const SCHEMA: u32 = 1;

fn object(row: &Row, columns: &[(usize, &'static Column)]) -> Map<String, serde_json::Value> {
    let value = |at: usize| row.values.get(at).map_or(json!(null), Value::json);
    columns.iter().map(|(at, column)| (column.field.to_owned(), value(*at))).collect()
}

/// An object with the rows.
pub(super) fn json(data: &Data, table: &Table, options: &Options) -> String {
    let columns = chosen(table, options, |_| true);
    let rows: Vec<_> = table.rows.iter().map(|row| object(row, &columns)).collect();
    let all = json!({
        "schema": SCHEMA,
        "time": data.snapshot.time,
        "by": options.by.title(),
        "has_probes": data.snapshot.tracer.is_some(),
        "losses": data.snapshot.tracer.as_ref().map(|tracer| &tracer.losses),
        "rows": rows,
    });
    format!("{all:#}\n")
}

/// One object per row and line; each has the time of the snapshot in `at`.
pub(super) fn ndjson(data: &Data, table: &Table, options: &Options) -> String {
    let columns = chosen(table, options, |_| true);
    let mut out = String::new();
    for row in &table.rows {
        let mut object = object(row, &columns);
        object.insert("at".to_owned(), json!(data.snapshot.time));
        let _ = writeln!(out, "{}", serde_json::Value::Object(object));
    }
    out
}

/// RFC 4180; the first column is the time of the snapshot.
pub(super) fn csv(data: &Data, table: &Table, options: &Options) -> String {
    let columns = chosen(table, options, |_| true);
    let mut out = String::new();
    if options.is_first {
        let fields: Vec<_> = columns.iter().map(|(_, column)| column.field).collect();
        let _ = write!(out, "at,{}\r\n", fields.join(","));
    }
    for row in &table.rows {
        let _ = write!(out, "{}", data.snapshot.time);
        for (at, _) in &columns {
            out.push(',');
            out.push_str(&row.values.get(*at).map(csv_field).unwrap_or_default());
        }
        out.push_str("\r\n");
    }
    out
}

fn csv_field(value: &Value) -> String {
    match value.json() {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) if matches!(value, Value::Text(_)) => csv::field(&text),
        serde_json::Value::String(text) => text,
        serde_json::Value::Array(points) => {
            // A list in one field, space-separated.
            points.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
