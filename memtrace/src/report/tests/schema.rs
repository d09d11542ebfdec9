//! Records against `docs/record.schema.json`.

use proptest::prelude::*;
use serde_json::Value;

use super::schema_check::faults;
use crate::store::fixture::{self, arbitrary};

#[test]
fn records_are_as_the_schema_says() {
    for record in [
        fixture::full::record(),
        fixture::record(0),
        fixture::self_trigger(),
        fixture::global(),
        fixture::thread_victim(),
    ] {
        assert_eq!(faults(&serde_json::to_value(&record).unwrap()), [] as [&str; 0]);
    }
}

#[test]
fn what_is_wrong_is_found() {
    let mut value = serde_json::to_value(fixture::full::record()).unwrap();
    value["schema"] = 2.into();
    value["victim"]["tid"] = Value::Null;
    value["processes"][0]["grade"] = "guessed".into();
    value.as_object_mut().unwrap().remove("time");
    assert_eq!(faults(&value).len(), 4, "{:?}", faults(&value));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_record_is_as_the_schema_says(record in arbitrary::record()) {
        prop_assert_eq!(faults(&serde_json::to_value(&record).unwrap()), Vec::<String>::new());
    }
}
