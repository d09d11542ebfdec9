//! Answers that are made up, right and wrong in each way.

use super::{super::recipe::tests::leak, *};

fn right() -> Answer {
    Answer {
        headline: "leak".to_owned(),
        confidence: Some(Confidence::Medium),
        owner: Some("glibc".to_owned()),
        owned: Some(0.99),
        functions: vec!["remember_session(long)".to_owned(), "main".to_owned()],
        figures: [("allocated".to_owned(), 101.0)].into(),
        figures_at: Some(150),
        ..Answer::default()
    }
}

fn judged(answer: &Answer) -> Judgement {
    let told = Told::parse("100 allocated 50\n200 allocated 150\n");
    judge(&leak().truth, &Seen { answer: answer.clone(), told, ..Seen::default() }, Remedied::Proved)
}

fn misses(answer: &Answer) -> Vec<String> {
    judged(answer).misses(&leak().truth, answer)
}

#[test]
fn an_answer_that_is_right_has_no_miss() {
    assert_eq!(misses(&right()), Vec::<String>::new());
    assert_eq!(judged(&right()).headline, Headline::Right);
}

#[test]
fn a_wrong_headline_counts_by_how_sure_it_was() {
    let wrong = |confidence| Answer {
        headline: "burst".to_owned(),
        confidence: Some(confidence),
        besides: vec!["leak".to_owned()],
        ..right()
    };
    assert_eq!(judged(&wrong(Confidence::Medium)).headline, Headline::Wrong);
    assert_eq!(judged(&wrong(Confidence::High)).headline, Headline::WrongAndSure);
    let said = misses(&wrong(Confidence::High));
    assert_eq!(said, ["headline \"burst\", not leak, and called sure; the right one is named besides"]);
}

#[test]
fn no_headline_is_a_wrong_one() {
    assert_eq!(
        judged(&Answer { headline: "none".to_owned(), confidence: None, ..right() }).headline,
        Headline::Wrong
    );
}

#[test]
fn a_function_must_be_near_the_top_and_be_it() {
    let with = |functions: &[&str]| {
        judged(&Answer { functions: functions.iter().map(|&name| name.to_owned()).collect(), ..right() })
            .function
    };
    assert_eq!(with(&["a", "b", "app::remember_session"]), Some(true));
    assert_eq!(with(&["a", "b", "c", "remember_session"]), Some(false));
    assert_eq!(with(&["remember_sessions"]), Some(false));
    assert_eq!(with(&[]), Some(false));
}

#[test]
fn figures_are_compared_at_their_instant() {
    let with = |bytes| misses(&Answer { figures: [("allocated".to_owned(), bytes)].into(), ..right() });
    assert!(with(98.5).is_empty());
    assert_eq!(with(103.0), ["allocated 103, not 100, 3.0 % off"]);
    let absent = Answer { figures: [].into(), ..right() };
    assert_eq!(misses(&absent), ["allocated none, not 100"]);
}

#[test]
fn a_figure_without_a_truth_is_no_success() {
    let judged = judge(&leak().truth, &Seen { answer: right(), ..Seen::default() }, Remedied::Proved);
    assert!(!judged.figures[0].is_right());
}

#[test]
fn an_owner_is_judged_by_name_and_by_how_much_it_leaves() {
    let answer = Answer { owner: Some("unattributed".to_owned()), owned: Some(0.4), ..right() };
    assert_eq!(
        misses(&answer),
        ["owner unattributed, not glibc", "40.0 % of the anonymous memory has an owner"]
    );
}

#[test]
fn the_time_to_the_kill_is_a_figure_of_its_own() {
    let answer = |seconds| Answer { figures: [("seconds_to_limit".to_owned(), seconds)].into(), ..right() };
    let of = |seconds, killed| {
        let seen = Seen { answer: answer(seconds), killed_after: Some(killed), ..Seen::default() };
        let judged = judge(&leak().truth, &seen, Remedied::Proved);
        judged.figures.iter().find(|figure| figure.name == "seconds_to_limit").unwrap().is_right()
    };
    assert!(of(20.0, 22.0) && !of(20.0, 30.0));
}

#[test]
fn a_remedy_that_failed_is_a_miss() {
    let judged = Judgement { remedy: Remedied::Failed("it was killed again".to_owned()), ..judged(&right()) };
    assert_eq!(judged.misses(&leak().truth, &right()), ["remedy: it was killed again"]);
}

#[test]
fn a_page_without_a_daemon_that_differs_is_a_miss() {
    let with = |alone: Answer| {
        let told = Told::parse("100 allocated 100\n");
        let seen = Seen { answer: right(), alone: Some(alone), told, ..Seen::default() };
        judge(&leak().truth, &seen, Remedied::Proved).misses(&leak().truth, &right())
    };
    assert_eq!(with(right()), Vec::<String>::new());
    assert_eq!(with(Answer { owner: None, ..right() }), ["--alone: owner none, not glibc"]);
}
