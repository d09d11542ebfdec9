//! The target that a user names: a pid, a container by name or id, a pod, a cgroup path.
//!
//! A snapshot and a word -> the matching rows, or similar names. Pure. An ambiguous word is rejected, never guessed.

use crate::{
    cgroup::hierarchy::is_within,
    snapshot::{ContainerRow, ProcessRow, Snapshot},
};

/// The most candidates in an error.
const MOST_LISTED: usize = 8;
/// The shortest prefix of an id.
const LEAST_ID: usize = 6;

/// The target of an explanation.
#[derive(Clone, Debug)]
pub enum Subject<'a> {
    /// A process.
    Process(&'a ProcessRow),
    /// A cgroup with its descendants.
    Container(&'a ContainerRow),
    /// All containers of a pod.
    Pod(String, Vec<&'a ContainerRow>),
}

impl<'a> Subject<'a> {
    /// Its processes, in the order of the snapshot.
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

/// Why no subject was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no match.
    #[error("no process, container, pod or cgroup is called {word}{}", listed(.near, "; similar names: "))]
    Nothing {
        /// The word.
        word: String,
        /// Names that contain the word.
        near: Vec<String>,
    },
    /// There are several matches.
    #[error("{word} is ambiguous, {} match: give a cgroup path or a pid{}", .of.len(), listed(.of, ": "))]
    Several {
        /// The word.
        word: String,
        /// The matches.
        of: Vec<String>,
    },
}

fn listed(names: &[String], before: &str) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_LISTED).map(String::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    if shown.is_empty() { String::new() } else { format!("{before}{}{more}", shown.join(", ")) }
}

/// Finds the subject that a word names.
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

/// Whether the word is the last name of its path.
fn has_last(row: &ContainerRow, word: &str) -> bool {
    row.cgroup.rsplit('/').next() == Some(word)
}

/// A pod by name, `namespace/name` or uid. Two namespaces may have pods with the same name.
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
    // The pod's own cgroup contains everything, its pause container included.
    let outer = rows.iter().find(|outer| rows.iter().all(|row| is_within(&row.cgroup, &outer.cgroup)));
    Some(Ok(match outer {
        Some(row) => Subject::Container(row),
        None => Subject::Pod(full_name(&rows).unwrap_or_else(|| word.to_owned()), rows),
    }))
}

/// `namespace/name` of the pod.
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
