//! Queries the runtimes for names, and tracks which of them answer.
//!
//! Input: sockets. Output: names into [`Names`], answers about killed containers. A missing socket is tried every few
//! seconds; one that hangs or sends garbage delays only its own task.

pub mod cri;
pub mod docker;
pub mod kubelet;
pub mod oci;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc::Sender},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::sleep,
};

use self::{
    cri::{Cri, Named},
    kubelet::Kubelet,
    oci::Bundles,
};
use crate::{
    clock,
    container::{end::End, names::Names},
};

/// How often a runtime is queried without an event.
const EVERY: Duration = Duration::from_secs(30);
/// Delay of a query after a new cgroup: containers often start in groups, and the runtime lists them shortly after
/// their cgroup is made.
const GATHER: Duration = Duration::from_millis(300);
/// Delay before a failed or missing runtime is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long runtimes are polled for the end of a container.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// The most ends that are asked for at the same time; further requests wait.
const MOST_ANSWERS: usize = 1024;
/// Interval of that polling.
const ASK_AGAIN: Duration = Duration::from_millis(400);

/// The sources of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The host's root: `/`, or its mount point in our container.
    pub host_root: PathBuf,
    /// Sockets of CRI runtimes besides the usual ones.
    pub cri_sockets: Vec<PathBuf>,
    /// The kubelet, if it is enabled.
    pub kubelet: Option<kubelet::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self { host_root: "/".into(), cri_sockets: Vec::new(), kubelet: None }
    }
}

/// The record that a container's end is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The kill with this id.
    Kill(String),
    /// The end of its first process, with this id, and when that was.
    Exit(String, Timestamp),
}

/// A request for the end of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The record that the answer is for.
    pub record: Record,
    /// Id of the container.
    pub container: String,
}

/// How a container ended, according to its runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The record that it is for.
    pub record: Record,
    /// The end.
    pub end: End,
}

/// The status of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// `oci bundle`, `cri`, `docker`, `kubelet`.
    pub source: String,
    /// Directory, socket or address.
    pub place: String,
    /// Whether it answers.
    pub works: bool,
    /// The runtime that answers, or the error.
    pub detail: String,
}

/// The runtimes that answer, by socket.
type Live = Arc<Mutex<HashMap<PathBuf, Arc<Cri>>>>;

/// Starts a task for each socket, and one for requests about ends.
pub fn start(
    config: &Config,
    names: &Names,
    woken: &watch::Receiver<u64>,
    questions: mpsc::Receiver<Asked>,
    answers: Sender<Ended>,
) {
    let live = Live::default();
    for socket in cri_sockets(config) {
        tokio::spawn(follow_cri(socket, names.clone(), woken.clone(), Arc::clone(&live)));
    }
    for (socket, runtime) in docker::SOCKETS {
        tokio::spawn(follow_docker(config.host_root.join(socket), runtime, names.clone(), woken.clone()));
    }
    if let Some(config) = &config.kubelet {
        tokio::spawn(follow_kubelet(config.clone(), names.clone(), woken.clone()));
    }
    let engines = docker::SOCKETS.iter().map(|(socket, _)| config.host_root.join(socket)).collect();
    tokio::spawn(answer_all(questions, answers, live, engines));
}

fn cri_sockets(config: &Config) -> Vec<PathBuf> {
    let usual = cri::SOCKETS.iter().map(|socket| config.host_root.join(socket));
    let mut sockets: Vec<PathBuf> = Vec::new();
    for socket in config.cri_sockets.iter().cloned().chain(usual) {
        // `/var/run` is `/run` on most hosts.
        let real = std::fs::canonicalize(&socket).unwrap_or(socket);
        if !sockets.contains(&real) {
            sockets.push(real);
        }
    }
    sockets
}

async fn follow_cri(socket: PathBuf, names: Names, mut woken: watch::Receiver<u64>, live: Live) {
    let mut is_known_bad = false;
    loop {
        if socket.exists() {
            let error = match Cri::connect(&socket).await {
                Ok(cri) => {
                    is_known_bad = false;
                    let cri = Arc::new(cri);
                    set(&live, &socket, Some(Arc::clone(&cri)));
                    let error = follow(&cri, &names, &mut woken).await;
                    set(&live, &socket, None);
                    error
                }
                Err(error) => error,
            };
            if !std::mem::replace(&mut is_known_bad, true) {
                tracing::warn!(socket = %socket.display(), %error, "the container runtime does not answer; retrying");
            }
        }
        sleep(RETRY).await;
    }
}

/// Queries a runtime until it does not answer.
async fn follow(cri: &Cri, names: &Names, woken: &mut watch::Receiver<u64>) -> cri::CriError {
    loop {
        // A change during the query needs another query.
        woken.mark_unchanged();
        match cri.names().await {
            Ok((containers, pods)) => take_over(names, containers, pods),
            Err(error) => return error,
        }
        wait(woken).await;
    }
}

async fn follow_docker(
    socket: PathBuf,
    runtime: &'static str,
    names: Names,
    mut woken: watch::Receiver<u64>,
) {
    let mut is_known_bad = false;
    loop {
        if !socket.exists() {
            sleep(RETRY).await;
            continue;
        }
        woken.mark_unchanged();
        let answer = docker::names(&socket, runtime).await.map(|containers| (containers, Vec::new()));
        settle(answer, &names, &mut woken, &mut is_known_bad, &socket.display()).await;
    }
}

async fn follow_kubelet(config: kubelet::Config, names: Names, mut woken: watch::Receiver<u64>) {
    let mut is_known_bad = false;
    loop {
        woken.mark_unchanged();
        // Open it for each query: its CA file may be renewed meanwhile.
        let answer = match Kubelet::open(config.clone()).await {
            Ok(kubelet) => kubelet.names().await,
            Err(error) => Err(error),
        };
        settle(answer, &names, &mut woken, &mut is_known_bad, &config.url).await;
    }
}

/// Takes an answer and waits until the next query is due.
async fn settle(
    answer: Result<(Vec<Named>, Vec<Named>), String>,
    names: &Names,
    woken: &mut watch::Receiver<u64>,
    is_known_bad: &mut bool,
    place: &(dyn std::fmt::Display + Sync),
) {
    match answer {
        Ok((containers, pods)) => {
            *is_known_bad = false;
            take_over(names, containers, pods);
            wait(woken).await;
        }
        Err(error) => {
            if !std::mem::replace(is_known_bad, true) {
                tracing::warn!(%place, %error, "failed to get names from this source; retrying");
            }
            sleep(RETRY).await;
        }
    }
}

fn take_over(names: &Names, containers: Vec<Named>, pods: Vec<Named>) {
    let now = clock::ktime();
    let mut registry = names.lock();
    pods.into_iter().for_each(|(uid, name)| registry.pod(&uid, name, now));
    containers.into_iter().for_each(|(id, name)| registry.container(&id, name, now));
}

/// Waits until there are new containers, or the interval is over.
async fn wait(woken: &mut watch::Receiver<u64>) {
    tokio::select! {
        changed = woken.changed() => {
            // Without a sender there are no changes, so wait for the interval.
            sleep(if changed.is_ok() { GATHER } else { EVERY }).await;
        }
        () = sleep(EVERY) => {}
    }
}

async fn answer_all(
    mut questions: mpsc::Receiver<Asked>,
    answers: Sender<Ended>,
    live: Live,
    engines: Arc<[PathBuf]>,
) {
    let places = Arc::new(Semaphore::new(MOST_ANSWERS));
    while let Some(asked) = questions.recv().await {
        // Never closed, so there is always a permit in the end.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let answer = answer(asked, answers.clone(), Arc::clone(&live), Arc::clone(&engines));
        tokio::spawn(async move {
            answer.await;
            drop(place);
        });
    }
}

/// Polls every runtime until one reports the container's end. If only a child died, there is no end and no answer.
async fn answer(asked: Asked, answers: Sender<Ended>, live: Live, engines: Arc<[PathBuf]>) {
    let begin = Instant::now();
    while begin.elapsed() < ENDS_WITHIN {
        sleep(ASK_AGAIN).await;
        let runtimes: Vec<Arc<Cri>> = {
            let live = live.lock().unwrap_or_else(PoisonError::into_inner);
            live.values().cloned().collect()
        };
        for cri in runtimes {
            if let Ok(Some(end)) = cri.ended(&asked.container).await {
                // The recorder has ended.
                drop(answers.send(Ended { record: asked.record, end }));
                return;
            }
        }
        for socket in engines.iter().filter(|socket| socket.exists()) {
            if let Ok(Some(end)) = docker::ended(socket, &asked.container).await {
                drop(answers.send(Ended { record: asked.record, end }));
                return;
            }
        }
    }
}

fn set(live: &Live, socket: &Path, cri: Option<Arc<Cri>>) {
    let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
    match cri {
        Some(cri) => live.insert(socket.to_path_buf(), cri),
        None => live.remove(socket),
    };
}

/// Tries every source once, for `doctor`; missing ones are left out.
pub async fn examine(config: &Config) -> Vec<SourceStatus> {
    let status = |source: &str, place: &Path, outcome: Result<String, String>| SourceStatus {
        source: source.to_owned(),
        place: place.display().to_string(),
        works: outcome.is_ok(),
        detail: outcome.unwrap_or_else(|error| error),
    };
    let mut found: Vec<SourceStatus> = Bundles::new(&config.host_root)
        .places()
        .iter()
        .map(|place| {
            let outcome = std::fs::read_dir(place).map(|_| "readable".to_owned());
            status(oci::SOURCE, place, outcome.map_err(|error| error.to_string()))
        })
        .collect();
    for socket in cri_sockets(config).iter().filter(|socket| socket.exists()) {
        let outcome = match Cri::connect(socket).await {
            Ok(cri) => cri.names().await.map(|(containers, _)| {
                format!("{} names {} containers and sandboxes", cri.runtime(), containers.len())
            }),
            Err(error) => Err(error),
        };
        found.push(status(cri::SOURCE, socket, outcome.map_err(|error| error.to_string())));
    }
    for (socket, runtime) in docker::SOCKETS {
        let socket = config.host_root.join(socket);
        if socket.exists() {
            let outcome = docker::names(&socket, runtime).await;
            let outcome = outcome.map(|names| format!("{runtime} names {} containers", names.len()));
            found.push(status(docker::SOURCE, &socket, outcome));
        }
    }
    if let Some(config) = &config.kubelet {
        let outcome = match Kubelet::open(config.clone()).await {
            Ok(kubelet) => kubelet.names().await,
            Err(error) => Err(error),
        };
        let outcome = outcome.map(|(containers, pods)| {
            format!("names {} containers of {} pods", containers.len(), pods.len())
        });
        found.push(status(kubelet::SOURCE, Path::new(&config.url), outcome));
    }
    found
}
