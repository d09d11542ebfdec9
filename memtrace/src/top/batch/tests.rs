//! The output for pipes and scripts.

use super::{Form, Options, print};
use crate::top::{
    filter::Filter,
    rows::{By, sort::Sort, tests::data},
};

fn options(form: Form, by: By) -> Options {
    Options {
        form,
        by,
        sort: Sort::of(by),
        filter: Filter::default(),
        fields: None,
        most: usize::MAX,
        width: 100,
        is_first: true,
    }
}

fn fields(by: By, names: &[&str]) -> Option<Vec<&'static crate::top::column::Column>> {
    Some(names.iter().map(|name| by.column(name).unwrap()).collect())
}

#[test]
fn a_table_fits_and_says_what_was_lost() {
    for by in [By::Container, By::Pod, By::Process, By::Arena, By::Stack, By::Kill, By::Probe] {
        for width in [100, 140, 300] {
            let text = print(&data(), &Options { width, ..options(Form::Table, by) });
            assert!(text.contains("LOST: 1234 events"), "{text}");
            let table = text.split("\n\n").nth(1).unwrap();
            assert!(table.lines().all(|line| line.chars().count() <= width), "{by:?} {width}:\n{text}");
        }
    }
}

#[test]
fn the_table_of_containers() {
    let of = Options {
        fields: fields(By::Container, &["name", "used", "limit", "%", "growth", "eta"]),
        ..options(Form::Table, By::Container)
    };
    let text = print(&data(), &of);
    let expected = "\
CONTAINER                        USED      LIMIT  OF LIMIT    GROW/s    ETA
shop/cart-0/redis           440.0 MiB  512.0 MiB       86%  +1.2 MiB  1m01s
pay/api-7f/server             1.2 GiB    2.0 GiB       59%  -2.0 KiB      -
shop/cart-0/web             100.0 MiB  512.0 MiB       20%         0      -
/system.slice/sshd.service    7.0 MiB          -         -         -      -
";
    assert_eq!(text.split_once("\n\n").unwrap().1, expected);
    let text = print(&data(), &Options { most: 1, ..of });
    assert!(text.ends_with("and 3 more\n"), "{text}");
}

#[test]
fn arenas_have_what_their_processes_say_below_them() {
    let text = print(&data(), &options(Form::Table, By::Arena));
    for said in [
        "jemalloc 5.3.0: 290.0 MiB allocated, 44.0 MiB free but resident",
        "counters of glibc are unknown: no symbols",
        "+70.0 MiB/1m touched by je_malloc < zmalloc < dictAddRaw",
        "page tables of 4 processes were not read",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
}

#[test]
fn programs_get_raw_figures() {
    let of = Options {
        fields: fields(By::Container, &["name", "used", "limit", "%"]),
        ..options(Form::Csv, By::Container)
    };
    let csv = print(&data(), &of);
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert_eq!(lines[0], "at,name,usage_bytes,limit_bytes,limit_share");
    assert_eq!(lines[1], "2026-01-02T03:04:05Z,shop/cart-0/redis,461373440,536870912,0.859375");
    assert_eq!(lines[4], "2026-01-02T03:04:05Z,/system.slice/sshd.service,7340032,,");

    let ndjson = print(&data(), &options(Form::Ndjson, By::Container));
    let rows: Vec<serde_json::Value> =
        ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["namespace"], "shop");
    assert_eq!(rows[3]["limit_bytes"], serde_json::Value::Null);

    let json: serde_json::Value =
        serde_json::from_str(&print(&data(), &options(Form::Json, By::Process))).unwrap();
    assert_eq!(json["rows"][0]["comm"], "server");
    assert_eq!(json["losses"][0]["count"], 1234);
}

#[test]
fn a_name_is_no_formula_and_no_second_field() {
    let mut data = data();
    let snapshot = std::sync::Arc::make_mut(&mut data.snapshot);
    for (process, comm) in snapshot.processes.iter_mut().zip(["=1+1", "a,b\"c", "x\x1b[2J", "-", "plain"]) {
        std::sync::Arc::make_mut(process).comm = comm.into();
    }
    let csv =
        print(&data, &Options { fields: fields(By::Process, &["comm"]), ..options(Form::Csv, By::Process) });
    for said in ["'=1+1\r\n", "\"a,b\"\"c\"\r\n", "x\\u{1b}[2J\r\n", ",plain\r\n"] {
        assert!(csv.contains(said), "{said:?} in {csv}");
    }
    let text = print(&data, &options(Form::Table, By::Process));
    assert!(!text.contains('\x1b'), "{text:?}");
}
