//! What to run in the memtrace pod for each subcommand of the plugin.
//!
//! Subcommand, place of the pod -> arguments of memtrace. Pure.

use super::{Ask, Rest, cluster::Place};
use crate::container::workload;

/// How the answer is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// It goes to a terminal, and keys come from it.
    pub(super) is_terminal: bool,
    /// The person did not refuse colours.
    pub(super) has_color: bool,
}

/// The arguments of memtrace on the node.
pub(super) fn remote(command: &Ask, rest: &Rest, place: &Place, form: Form) -> Vec<String> {
    let container = rest.container.as_deref();
    let mut words = match command {
        Ask::Why(_) => filtered(&["report", "--last"], place, container),
        Ask::Explain(_) => vec!["explain".to_owned(), name(place, container)],
        Ask::Top(_) => top(place, container),
        Ask::Report(_) => filtered(&["report", "list"], place, container),
        Ask::Advise(_) => advise(place, container),
        Ask::Doctor(_) => vec!["doctor".to_owned()],
    };
    if form.is_terminal && !form.has_color && !matches!(command, Ask::Doctor(_)) {
        words.extend(["--color".to_owned(), "never".to_owned()]);
    }
    words.extend(rest.arguments.iter().cloned());
    words
}

/// `namespace/pod/container`, as far as known.
fn name(place: &Place, container: Option<&str>) -> String {
    let parts = [place.namespace.as_deref(), place.pod.as_deref(), container];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

fn filtered(words: &[&str], place: &Place, container: Option<&str>) -> Vec<String> {
    let filters = [
        ("--namespace", place.namespace.as_deref()),
        ("--pod", place.pod.as_deref()),
        ("--container", container),
    ];
    let filters = filters.into_iter().filter_map(|(option, value)| Some([option, value?]));
    words.iter().copied().chain(filters.flatten()).map(str::to_owned).collect()
}

/// Processes of the pod; containers of the node.
fn top(place: &Place, container: Option<&str>) -> Vec<String> {
    let by = if place.pod.is_some() { "process" } else { "container" };
    let terms = [("ns", place.namespace.as_deref()), ("pod", place.pod.as_deref()), ("container", container)];
    let terms: Vec<String> =
        terms.into_iter().filter_map(|(field, value)| Some(format!("{field}={}", value?))).collect();
    let mut words = vec!["top".to_owned(), "--by".to_owned(), by.to_owned()];
    if !terms.is_empty() {
        words.extend(["--filter".to_owned(), terms.join(" ")]);
    }
    words
}

/// The workload of the pod; all of the node.
fn advise(place: &Place, container: Option<&str>) -> Vec<String> {
    let owner = place.pod.as_deref().map(workload::owner_of);
    let parts = [place.namespace.as_deref(), owner, container];
    let target = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    let words = ["advise".to_owned()].into_iter();
    words.chain((!target.is_empty()).then_some(target)).collect()
}
