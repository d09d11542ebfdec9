//! The page of a node whose names are hostile.

use std::sync::Arc;

use super::{LONGEST, changing, link, whole};
use crate::{
    container::name::Name,
    snapshot::Snapshot,
    store::KillSummary,
    text::escape,
    top::rows::tests::data,
    web::{event, kills::Kills, trouble::cases},
};

const SCRIPT: &str = "<script>alert(1)</script>";

fn node() -> (Snapshot, crate::verdict::Insights, Kills) {
    let data = data();
    let kills: Vec<KillSummary> = data.kills.unwrap().kills.clone();
    ((*data.snapshot).clone(), (*data.insights).clone(), Ok(kills))
}

/// The text of a page without its tags.
fn text(html: &str) -> String {
    html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

#[test]
fn the_one_in_trouble_is_first_with_words_and_links() {
    let (snapshot, insights, kills) = node();
    let cases = cases(&snapshot, &insights, kills.as_ref().unwrap());
    let states: Vec<_> = cases.iter().map(|case| (case.state, case.share)).collect();
    assert!(states.is_sorted_by(|a, b| a >= b), "{states:?}");
    assert_eq!(cases[0].row.name.as_ref().unwrap().container.as_deref(), Some("redis"));
    let html = changing(&snapshot, &insights, &kills).into_string();
    let (trouble, rest) = html.split_once("Last OOM kills").unwrap();
    assert!(trouble.contains("shop/cart-0/redis") && !trouble.contains("sshd.service"), "{trouble}");
    assert!(text(trouble).contains("of 4 containers"), "{}", text(trouble));
    assert!(text(trouble).contains("leak: "), "the verdict is in words: {}", text(trouble));
    assert!(text(rest).contains("nothing unusual"), "{}", text(rest));
    let redis = link(cases[0].row).unwrap();
    assert!(redis.starts_with("explain/%2Fkubepods%2Fburstable%2Fpod") && trouble.contains(&redis));
    let id = &kills.as_ref().unwrap()[0].id;
    assert!(rest.contains(&format!("href=\"kill/{id}\"")), "{rest}");
}

#[test]
fn a_name_is_text_whatever_is_in_it() {
    let (mut snapshot, insights, _) = node();
    let evil = [
        SCRIPT.to_owned(),
        "\"><img src=x onerror=alert(1)>".to_owned(),
        escape("\u{202e}gpj.exe\n\rdata: x\u{200b}".as_bytes()),
        "\u{202e}raw\ndata: raw\u{2028}".to_owned(),
        "x".repeat(4096),
        "שלום".to_owned(),
    ];
    let kill = |name: &str| KillSummary {
        victim_comm: name.to_owned(),
        pod: Some(name.to_owned()),
        cause: Some(name.to_owned()),
        cgroup: Some(name.to_owned()),
        ..data().kills.unwrap().kills[0].clone()
    };
    snapshot.containers.extend(snapshot.containers.clone());
    for (row, name) in snapshot.containers.iter_mut().zip(&evil) {
        row.cgroup = format!("/{name}");
        row.name = Some(Arc::new(Name { container: Some(name.clone()), ..Name::default() }));
    }
    let kills = evil.iter().map(|name| kill(name)).collect();
    let html = changing(&snapshot, &insights, &Ok(kills)).into_string();
    for not in ["<script", "<img", "onerror=alert(1)>\"", "\u{202e}", "\u{200b}", "\u{2028}", "\n", "\r"] {
        assert!(!html.contains(not), "{not:?}");
    }
    assert!(html.contains("&lt;script&gt;"));
    // Hebrew is read from the right, but its neighbours are not.
    assert!(html.contains("<bdi>שלום</bdi>"));
    let sent = event::event(&html);
    assert_eq!(event::html(&sent), html.as_bytes());
    assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), 2, "one event");
    assert!(whole(event::html(&sent)).into_string().contains(&html));
    let errors = changing(&snapshot, &insights, &Err(SCRIPT.to_owned())).into_string();
    assert!(!errors.contains("<script"), "{errors}");
}

#[test]
fn a_name_of_four_kibibytes_is_cut_and_a_longer_link_left_out() {
    let (mut snapshot, insights, kills) = node();
    snapshot.containers[0].cgroup = format!("/{}", "ab/".repeat(4096));
    snapshot.containers[0].name = None;
    assert_eq!(link(&snapshot.containers[0]), None);
    snapshot.containers[1].cgroup = format!("/{}", "b".repeat(4080));
    snapshot.containers[1].name = None;
    assert!(link(&snapshot.containers[1]).unwrap().len() <= LONGEST);
    let html = changing(&snapshot, &insights, &kills).into_string();
    assert!(text(&html).split_whitespace().all(|word| word.len() < 200), "{html}");
}

#[test]
fn what_is_not_known_is_said() {
    let (mut snapshot, insights, kills) = node();
    snapshot.node = crate::snapshot::Node::default();
    snapshot.tracer = None;
    for row in &mut snapshot.containers {
        (row.usage_bytes, row.limit, row.charge) = (None, None, None);
    }
    let text = text(&changing(&snapshot, &insights, &kills).into_string());
    assert!(text.contains("No tracer runs") && text.contains("unknown, no limit"), "{text}");
    assert!(!text.contains("0 B of"), "{text}");
    snapshot.containers.clear();
    let text = self::text(&changing(&snapshot, &insights, &Ok(Vec::new())).into_string());
    assert!(text.contains("No container has processes") && text.contains("None is recorded"), "{text}");
}

#[test]
fn a_page_has_no_script_or_style_of_its_own() {
    let (snapshot, insights, kills) = node();
    let html = changing(&snapshot, &insights, &kills);
    let page = crate::web::frame::document("x", crate::web::frame::Place::Node, &html);
    for not in ["<style", " style=", "javascript:", " onclick", "http://", "https://", "@import"] {
        assert!(!page.contains(not), "{not}");
    }
    assert!(include_str!("page.js").len() + include_str!("page.css").len() < 8 << 10);
}
