//! A checker for the part of JSON Schema that `docs/record.schema.json` uses.

use std::{fs, path::Path};

use serde_json::Value;

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/record.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Collects the faults of a value. Unknown keywords and fields that the schema does not describe are faults too.
fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "pattern" => {}
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value, at, wrong);
            }
            "anyOf" => {
                let fits = |option: &Value| {
                    let mut found = Vec::new();
                    check(root, option, value, at, &mut found);
                    found
                };
                let found: Vec<Vec<String>> = rule.as_array().unwrap().iter().map(fits).collect();
                if found.iter().all(|found| !found.is_empty()) {
                    wrong.extend(found.into_iter().flatten());
                }
            }
            "type" => {
                let names = rule.as_array().map_or_else(|| vec![rule], |names| names.iter().collect());
                let is = |name: &&Value| match name.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    name => panic!("no such type: {name}"),
                };
                if !names.iter().any(is) {
                    wrong.push(format!("{at} is {value}, not {rule}"));
                }
            }
            "const" if value == rule => {}
            "enum" if rule.as_array().unwrap().contains(value) => {}
            "const" | "enum" => wrong.push(format!("{at} is {value}, not {rule}")),
            "minItems" if value.as_array().unwrap().len() as u64 >= rule.as_u64().unwrap() => {}
            "maxItems" if value.as_array().unwrap().len() as u64 <= rule.as_u64().unwrap() => {}
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(root, rule, item, &format!("{at}[]"), wrong);
                }
            }
            "required" => {
                for name in rule.as_array().unwrap().iter().filter(|_| value.is_object()) {
                    if value.get(name.as_str().unwrap()).is_none() {
                        wrong.push(format!("{at} has no {name}"));
                    }
                }
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(rule) => check(root, rule, field, &format!("{at}.{name}"), wrong),
                        None => wrong.push(format!("{at}.{name} is not described")),
                    }
                }
            }
            keyword => wrong.push(format!("{at}: {keyword} is not known")),
        }
    }
}

/// The faults of a record.
pub fn faults(value: &Value) -> Vec<String> {
    let schema = schema();
    let mut wrong = Vec::new();
    check(&schema, &schema, value, "record", &mut wrong);
    wrong
}
