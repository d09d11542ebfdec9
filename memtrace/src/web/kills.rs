//! The newest kills, and which container each belongs to.
//!
//! The store -> rows, or why there are none; rows -> HTML.

use std::path::Path;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    oom::cause::CauseKind,
    snapshot::{ContainerRow, age},
    store::{Filter, KillSummary, Store, StoreError},
    text::{printable, shorten_path},
    top::{format, rows::label},
};

/// The most that are shown.
const MOST: usize = 20;
/// The longest name in columns; names of 4 KiB exist.
pub(super) const WIDEST: usize = 96;

/// The newest kills, or why they are not known.
pub(super) type Kills = Result<Vec<KillSummary>, String>;

/// Reads the newest kills, newest first.
pub(super) fn newest(state_dir: &Path) -> Kills {
    let newest = Filter { limit: Some(MOST), ..Filter::default() };
    match Store::open_read_only(state_dir).and_then(|store| store.list(&newest)) {
        Ok(kills) => Ok(kills),
        Err(StoreError::Missing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a kill is of this container, of an earlier one with its name, or because of its limit.
pub(super) fn is_of(kill: &KillSummary, row: &ContainerRow) -> bool {
    is_victim(kill, row) || kill.limit_owner.as_ref() == Some(&row.cgroup)
}

/// Whether the victim was in this container, or in an earlier one with its name.
fn is_victim(kill: &KillSummary, row: &ContainerRow) -> bool {
    let KillSummary { cgroup, namespace, pod, container, .. } = kill;
    let is_named = row.name.as_ref().is_some_and(|name| {
        (pod.is_some() || container.is_some())
            && (namespace, pod, container) == (&name.namespace, &name.pod, &name.container)
    });
    is_named || cgroup.as_ref() == Some(&row.cgroup)
}

/// The container of the victim, by the name that it has on the page of the node.
fn place(kill: &KillSummary, rows: &[ContainerRow]) -> String {
    if let Some(row) = rows.iter().find(|row| is_victim(kill, row)) {
        return label(row);
    }
    let KillSummary { namespace, pod, container, cgroup, .. } = kill;
    let parts: Vec<&str> = [namespace, pod, container].into_iter().flatten().map(String::as_str).collect();
    if parts.is_empty() { cgroup.clone().unwrap_or_else(|| "unknown".to_owned()) } else { parts.join("/") }
}

/// The cause in words.
pub(super) fn cause(kill: &KillSummary) -> String {
    let word = kill.cause.as_deref().unwrap_or("unknown");
    match serde_json::from_value::<CauseKind>(word.into()) {
        Ok(kind) => kind.label().to_owned(),
        // A newer version may have stored it.
        Err(_) => printable(word),
    }
}

/// A name of others, cut, in its own direction of writing.
pub(super) fn name(name: &str) -> Markup {
    html! { bdi { (shorten_path(&printable(name), WIDEST)) } }
}

/// The list; `up` leads to the node's page, `rows` are the containers that exist.
pub(super) fn list(kills: &[&KillSummary], rows: &[ContainerRow], now: Timestamp, up: &str) -> Markup {
    html! {
        div {
            table.kills {
                thead {
                    tr {
                        th scope="col" { "When" }
                        th scope="col" { "Container" }
                        th scope="col" { "Killed" }
                        th scope="col" { "Why" }
                    }
                }
                tbody {
                    @for kill in kills {
                        tr data-key={ "k" (kill.id) } {
                            td data-name="When" {
                                (kill.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
                                " (" (format::duration(age(now, kill.time))) " ago)"
                            }
                            td data-name="Container" { (name(&place(kill, rows))) }
                            td data-name="Killed" {
                                (name(&kill.victim_comm))
                                @if let Some(pid) = kill.victim_pid { " (" (pid) ")" }
                            }
                            td data-name="Why" { a href={ (up) "kill/" (kill.id) } { (cause(kill)) } }
                        }
                    }
                }
            }
        }
    }
}
