//! Filters on rows of containers.

use proptest::prelude::*;

use super::Filter;
use crate::top::rows::{By, Row, Scope, rows, tests::data};

fn shown(filter: &str) -> Vec<String> {
    let filter = Filter::parse(filter, By::Container).unwrap();
    let table = rows(&data(), By::Container, &Scope::Node);
    let passing = table.rows.iter().filter(|row| filter.passes(row));
    passing.map(|row: &Row| row.values[0].short()).collect()
}

#[test]
fn every_kind_of_term() {
    let all = shown("");
    assert_eq!(
        all,
        ["shop/cart-0/redis", "shop/cart-0/web", "pay/api-7f/server", "/system.slice/sshd.service"]
    );
    for (filter, names) in [
        ("REDIS", vec!["shop/cart-0/redis"]),
        ("!redis !ssh", vec!["shop/cart-0/web", "pay/api-7f/server"]),
        ("/cart-[0-9]/ !web", vec!["shop/cart-0/redis"]),
        ("ns=shop", vec!["shop/cart-0/redis", "shop/cart-0/web"]),
        ("ns=sho", vec![]),
        ("pod=cart-*", vec!["shop/cart-0/redis", "shop/cart-0/web"]),
        ("ns!=shop limit!=-", vec!["pay/api-7f/server"]),
        ("mem>400m", vec!["shop/cart-0/redis", "pay/api-7f/server"]),
        ("mem>400m mem<1g", vec!["shop/cart-0/redis"]),
        ("%>=80", vec!["shop/cart-0/redis"]),
        ("%>0.8", vec!["shop/cart-0/redis"]),
        ("eta<1h", vec!["shop/cart-0/redis"]),
        ("eta<1m", vec![]),
        ("limit=-", vec!["/system.slice/sshd.service"]),
        ("of_limit>80 GROW/s>1m usage_bytes>1m", vec!["shop/cart-0/redis"]),
        ("/kubepods/a=b", vec![]),
        ("verdict~^leak", vec!["shop/cart-0/redis"]),
        ("kills>0", vec!["pay/api-7f/server"]),
        ("/system.slice", vec!["/system.slice/sshd.service"]),
        ("\"cart-0/w\"", vec!["shop/cart-0/web"]),
    ] {
        assert_eq!(shown(filter), names, "{filter}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (filter, why) in [
        ("colour=red", "unknown field \"colour\"; known are: name, usage_bytes (USED), limit_bytes (LIMIT)"),
        ("mem>", "used> what?"),
        ("mem>lots", "expected a size, such as 512m or 1.5g"),
        ("name>3", "name is text: use = or ~"),
        ("/(/", "not a regular expression: unclosed group"),
        ("\"open", "the quote is not closed"),
    ] {
        let said = Filter::parse(filter, By::Container).unwrap_err();
        assert!(said.starts_with(why), "{filter}: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any typed text, letter by letter, gives a filter or an error, never a panic.
    #[test]
    fn anything_can_be_typed(text in "[a-z!/\"=<>~%*().0-9 é-]{0,40}") {
        if let Ok(filter) = Filter::parse(&text, By::Container) {
            for row in rows(&data(), By::Container, &Scope::Node).rows {
                let _ = filter.passes(&row);
            }
        }
    }
}
