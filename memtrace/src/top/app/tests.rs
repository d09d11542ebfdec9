//! The effect of keys and news on the state.

use std::sync::Arc;

use super::{App, News, Wish};
use crate::{
    api::v1::Update,
    top::{
        input::Action,
        rows::{By, Data, RowId, tests::data},
        view::tests::{app, press},
    },
    units::Bytes,
};

fn update(data: &Data) -> News {
    News::Update(Update { snapshot: Arc::clone(&data.snapshot), insights: Arc::clone(&data.insights) })
}

fn selected(app: &App) -> String {
    match &app.selected().unwrap().id {
        RowId::Pod(name) | RowId::Container(name) | RowId::Kill(name) | RowId::Probe(name) => name.clone(),
        RowId::Process(id) => id.pid.to_string(),
        RowId::Arena(_, allocator, _) => allocator.clone(),
        RowId::Stack(_, frames) => frames.concat(),
    }
}

#[test]
fn the_selection_stays_on_its_row_when_rows_move() {
    let mut data = data();
    let mut app = app(&data);
    press(&mut app, "jj");
    let before = selected(&app);
    assert_eq!(app.place().unwrap().index, 2);
    let snapshot = Arc::make_mut(&mut data.snapshot);
    snapshot.containers[1].usage_bytes = Some(Bytes(511 << 20));
    snapshot.time += jiff::SignedDuration::from_secs(1);
    app.take(update(&data));
    assert_eq!(selected(&app), before);
    assert_eq!(app.place().unwrap().index, 0, "it is the nearest to its limit now");
    // When the selected row disappears, the selection stays at its index.
    let gone = before;
    Arc::make_mut(&mut data.snapshot).containers.retain(|row| row.cgroup != gone);
    app.take(update(&data));
    assert_eq!(app.place().unwrap().index, 0);
}

#[test]
fn one_goes_in_and_comes_back_to_where_one_was() {
    let mut app = app(&data());
    press(&mut app, "t");
    assert_eq!(app.place().unwrap().by, By::Pod);
    let kinds = |app: &App| app.places().iter().map(|place| place.by).collect::<Vec<_>>();
    press(&mut app, "j\n\n\n\n");
    assert_eq!(kinds(&app), [By::Pod, By::Container, By::Process, By::Arena, By::Stack]);
    assert_eq!(app.wants_names_of().unwrap().pid, 4242);
    press(&mut app, "\x1b\x1b");
    assert_eq!(kinds(&app), [By::Pod, By::Container, By::Process]);
    press(&mut app, "2\x1b1");
    assert_eq!(kinds(&app), [By::Pod, By::Container, By::Process], "each view remembers its place");
}

#[test]
fn a_filter_works_while_it_is_typed_and_an_unfinished_one_keeps_the_last() {
    let mut app = app(&data());
    press(&mut app, "/ns=shop");
    assert_eq!((app.table().rows.len(), app.unfiltered()), (2, 4));
    press(&mut app, " mem>");
    assert_eq!(app.table().rows.len(), 2);
    assert!(app.message().unwrap().contains("what?"));
    press(&mut app, "200m\n");
    assert_eq!((app.table().rows.len(), app.typing()), (1, None));
    press(&mut app, "\x1b");
    assert_eq!(app.table().rows.len(), 4);
}

#[test]
fn space_holds_the_picture_while_collection_goes_on() {
    let mut data = data();
    let mut app = app(&data);
    press(&mut app, " ");
    let snapshot = Arc::make_mut(&mut data.snapshot);
    snapshot.time += jiff::SignedDuration::from_secs(12);
    snapshot.containers.truncate(1);
    app.take(update(&data));
    assert_eq!(app.table().rows.len(), 4);
    assert_eq!(app.held_for(), Some(12.0));
    press(&mut app, " ");
    assert_eq!((app.table().rows.len(), app.held_for()), (1, None));
}

#[test]
fn reports_are_asked_for_and_names_are_copied() {
    let mut app = app(&data());
    // pay/api-7f/server has a kill, the first row none.
    assert_eq!(app.act(Action::Report), None);
    assert!(app.message().is_some());
    press(&mut app, "j");
    assert_eq!(selected(&app), "/kubepods/podapi/server");
    assert_eq!(app.act(Action::Report), Some(Wish::Record("20260102T030300Z-4100-0f6c".into())));
    assert_eq!(app.act(Action::Copy), Some(Wish::Copy("/kubepods/podapi/server".into())));
    press(&mut app, "4");
    assert_eq!(app.act(Action::Enter), Some(Wish::Record("20260102T030300Z-4100-0f6c".into())));
}

#[test]
fn any_column_can_order_the_rows() {
    let mut app = app(&data());
    let columns = By::Container.columns();
    for (index, column) in columns.iter().enumerate() {
        press(&mut app, "s");
        app.act(Action::First);
        app.act(Action::Move(index as isize));
        app.act(Action::Enter);
        assert_eq!(app.place().unwrap().sort.field, column.field);
    }
    let before = app.place().unwrap().sort.is_descending;
    press(&mut app, "r");
    assert_eq!(app.place().unwrap().sort.is_descending, !before);
}
