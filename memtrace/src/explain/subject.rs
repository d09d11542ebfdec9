//! What a user names: a pid, a container by name or id, a pod, a cgroup path.
//!
//! A snapshot and a word -> the rows that are meant, or what comes near. Pure. A word that fits two things is refused,
//! never guessed.

use crate::{
    cgroup::hierarchy::is_within,
    snapshot::{ContainerRow, ProcessRow, Snapshot},
};

/// Candidates that an error lists.
const MOST_LISTED: usize = 8;
/// Digits of an id that are enough.
const LEAST_ID: usize = 6;

/// What is to be explained.
#[derive(Clone, Debug)]
pub enum Subject<'a> {
    /// A process.
    Process(&'a ProcessRow),
    /// A cgroup, with all below it.
    Container(&'a ContainerRow),
    /// All containers of a pod.
    Pod(String, Vec<&'a ContainerRow>),
}

impl<'a> Subject<'a> {
    /// Its processes, as the snapshot orders them.
    pub fn members(&self, snapshot: &'a Snapshot) -> Vec<&'a ProcessRow> {
        let rows: &[&ContainerRow] = match self {
            Self::Process(row) => return vec![row],
            Self::Container(row) => std::slice::from_ref(row),
            Self::Pod(_, rows) => rows,
        };
        let is_in = |cgroup: &str| rows.iter().any(|row| is_within(cgroup, &row.cgroup));
        snapshot.rows().filter(|row| row.cgroup.as_deref().is_some_and(is_in)).collect()
    }
}

/// Why nothing is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No such thing.
    #[error("no process, container, pod or cgroup is called {word}{}", listed(.near, "; similar names: "))]
    Nothing {
        /// What was asked for.
        word: String,
        /// What has it in its name.
        near: Vec<String>,
    },
    /// Several.
    #[error("{word} is ambiguous, {} match: give a cgroup path or a pid{}", .of.len(), listed(.of, ": "))]
    Several {
        /// What was asked for.
        word: String,
        /// What it can be.
        of: Vec<String>,
    },
}

fn listed(names: &[String], before: &str) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_LISTED).map(String::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    if shown.is_empty() { String::new() } else { format!("{before}{}{more}", shown.join(", ")) }
}

/// Finds it.
///
/// # Errors
/// See [`NotFound`].
pub fn find<'a>(snapshot: &'a Snapshot, word: &str) -> Result<Subject<'a>, NotFound> {
    let pid = word.parse::<u32>().ok();
    if let Some(process) = pid.and_then(|pid| snapshot.processes.iter().find(|row| row.pid == pid)) {
        return Ok(Subject::Process(process));
    }
    let containers = &snapshot.containers;
    if word.starts_with('/') {
        let path = if word.len() > 1 { word.trim_end_matches('/') } else { word };
        return match containers.iter().find(|row| row.cgroup == path) {
            Some(row) => Ok(Subject::Container(row)),
            None => Err(nothing(snapshot, word)),
        };
    }
    let of = |fits: fn(&ContainerRow, &str) -> bool| -> Vec<&ContainerRow> {
        containers.iter().filter(|row| fits(row, word)).collect()
    };
    for fits in [is_called, has_id, has_last] {
        match of(fits).as_slice() {
            [] => {}
            [row] => return Ok(Subject::Container(row)),
            rows => return Err(several(word, rows)),
        }
    }
    pod(containers, word).unwrap_or_else(|| Err(nothing(snapshot, word)))
}

fn is_called(row: &ContainerRow, word: &str) -> bool {
    let Some(name) = &row.name else { return false };
    let is = |part: &Option<String>| part.as_deref() == Some(word);
    is(&name.container) || is(&name.unit) || name.label().as_deref() == Some(word)
}

fn has_id(row: &ContainerRow, word: &str) -> bool {
    let id = row.name.as_ref().and_then(|name| name.container_id.as_deref());
    word.len() >= LEAST_ID && id.is_some_and(|id| id.starts_with(word))
}

/// The last name of its path.
fn has_last(row: &ContainerRow, word: &str) -> bool {
    row.cgroup.rsplit('/').next() == Some(word)
}

/// A pod by name, `namespace/name` or uid. Names can be the same in two namespaces.
fn pod<'a>(containers: &'a [ContainerRow], word: &str) -> Option<Result<Subject<'a>, NotFound>> {
    let rows: Vec<&ContainerRow> = containers
        .iter()
        .filter(|row| {
            let Some(name) = &row.name else { return false };
            let pod = name.pod.as_deref();
            let full = name.namespace.as_deref().zip(pod).map(|(space, pod)| format!("{space}/{pod}"));
            pod == Some(word) || full.as_deref() == Some(word) || name.pod_uid.as_deref() == Some(word)
        })
        .collect();
    let uid = |row: &&ContainerRow| row.name.as_ref().and_then(|name| name.pod_uid.clone());
    let first = rows.first().map(uid)?;
    if rows.iter().any(|row| uid(row) != first) {
        return Some(Err(several(word, &rows)));
    }
    // The pod's own cgroup has all of it, its pause container included.
    let outer = rows.iter().find(|outer| rows.iter().all(|row| is_within(&row.cgroup, &outer.cgroup)));
    Some(Ok(match outer {
        Some(row) => Subject::Container(row),
        None => Subject::Pod(full_name(&rows).unwrap_or_else(|| word.to_owned()), rows),
    }))
}

/// `namespace/name`, whatever it was asked by.
fn full_name(rows: &[&ContainerRow]) -> Option<String> {
    let name = rows.iter().find_map(|row| row.name.as_ref())?;
    let parts: Vec<&str> = [&name.namespace, &name.pod].into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn several(word: &str, rows: &[&ContainerRow]) -> NotFound {
    NotFound::Several { word: word.to_owned(), of: rows.iter().map(|row| row.cgroup.clone()).collect() }
}

fn nothing(snapshot: &Snapshot, word: &str) -> NotFound {
    let wanted = word.trim_matches('/').to_lowercase();
    let has = |text: &str| !wanted.is_empty() && text.to_lowercase().contains(&wanted);
    let label = |row: &ContainerRow| row.name.as_deref().and_then(crate::container::name::Name::label);
    let containers = snapshot.containers.iter().filter_map(|row| match label(row) {
        Some(label) if has(&label) => Some(label),
        _ => has(&row.cgroup).then(|| row.cgroup.clone()),
    });
    let processes = snapshot.processes.iter().filter(|row| has(&row.comm));
    let processes = processes.map(|row| format!("pid {} ({})", row.pid, row.comm));
    NotFound::Nothing { word: word.to_owned(), near: containers.chain(processes).collect() }
}
