//! How a process really ended: by the OOM killer, by a signal from another process, by a fault, or by its own exit.
//!
//! Input: its exit code as `wait` sees it, the signals that were sent to it, refused memory, the OOM kill that it was a
//! victim of. Output: [`ExitRecord`] with a sentence. Pure. The runtime's report is compared, but never used as
//! evidence.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::TaskFacts;
use crate::{
    container::name::Name,
    units::{Bytes, Grade},
    verdict::Fact,
};

/// The version of [`ExitRecord`]'s JSON form.
pub const SCHEMA: u32 = 1;

const SIGABRT: u32 = 6;
const SIGBUS: u32 = 7;
const SIGKILL: u32 = 9;
const SIGSEGV: u32 = 11;
const SIGTERM: u32 = 15;
/// The greatest age of a refused request that can have ended the process, in seconds.
const REFUSED_WITHIN: f64 = 5.0;

/// Kinds of exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// The OOM killer killed it.
    OomKill,
    /// SIGKILL from another source.
    Killed,
    /// It ended after SIGTERM.
    Terminated,
    /// It aborted after the kernel refused a request for memory.
    FailedAllocation,
    /// It aborted: an assertion, a panic.
    Aborted,
    /// SIGSEGV or SIGBUS.
    Segfault,
    /// Another signal.
    Crashed,
    /// It exited by itself.
    Exited,
}

/// A signal that was sent to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentSignal {
    /// Number.
    pub signal: u32,
    /// The task that was running when it was sent.
    pub sender: TaskFacts,
    /// Whether the kernel itself sent it.
    pub from_kernel: bool,
    /// Seconds before the exit.
    pub seconds_before: f64,
}

/// The facts about an exit.
#[derive(Clone, Debug, PartialEq)]
pub struct EndFacts {
    /// The process.
    pub task: TaskFacts,
    /// As `wait` sees it: `code << 8`, or the signal with 0x80 for a core dump.
    pub status: u32,
    /// Signals that were sent to it, oldest first.
    pub signals: Vec<SentSignal>,
    /// The last refused request: its bytes, and how many seconds before the exit.
    pub refused: Option<(Bytes, f64)>,
    /// Id of the record of the kill that it was a victim of.
    pub oom_record: Option<String>,
}

/// An exit, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Unique name of the record.
    pub id: String,
    /// When it ended.
    pub time: Timestamp,
    /// The boot that it happened in.
    pub boot_id: String,
    /// The process.
    #[serde(flatten)]
    pub task: TaskFacts,
    /// The name of its container.
    pub container: Option<Name>,
    /// Whether it was its container's oldest process.
    pub is_main: bool,
    /// The kind of exit.
    pub kind: ExitKind,
    /// The exit in one sentence.
    pub sentence: String,
    /// Exit code, when no signal ended it.
    pub exit_code: Option<u32>,
    /// The signal that ended it.
    pub signal: Option<u32>,
    /// The sender of that signal.
    pub sender: Option<TaskFacts>,
    /// Id of the record of the OOM kill.
    pub oom_record: Option<String>,
    /// Peak RSS.
    pub peak_rss_bytes: Option<Bytes>,
    /// The facts that support the sentence.
    pub evidence: Vec<Fact>,
    /// The report of the container's runtime.
    pub runtime: Option<RuntimeExit>,
    /// How the runtime's report disagrees, in words.
    pub disagreement: Option<String>,
}

/// A container runtime's report of an exit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeExit {
    /// Its reason: `OOMKilled`, `Error`, `Completed`.
    pub reason: Option<String>,
    /// Its exit code: 128 + signal if a signal ended it.
    pub exit_code: Option<i32>,
}

/// The judgement of an exit: kind, sentence, sender, and evidence.
pub struct Judgement {
    /// Kind.
    pub kind: ExitKind,
    /// Sentence.
    pub sentence: String,
    /// The sender of the signal.
    pub sender: Option<TaskFacts>,
    /// Evidence.
    pub evidence: Vec<Fact>,
}

/// The signal that ended it.
pub fn signal(status: u32) -> Option<u32> {
    Some(status & 0x7f).filter(|signal| *signal != 0)
}

/// Its exit code, when no signal ended it.
pub fn exit_code(status: u32) -> Option<u32> {
    signal(status).is_none().then_some((status >> 8) & 0xff)
}

/// Judges an exit.
pub fn judge(facts: &EndFacts) -> Judgement {
    let ended_by = signal(facts.status);
    let sent = |number: u32| facts.signals.iter().rev().find(|sent| sent.signal == number);
    let refused = facts.refused.filter(|(_, before)| *before <= REFUSED_WITHIN);
    let mut evidence = Vec::new();
    let mut add = |what: &str, value: String, grade| {
        evidence.push(Fact { what: what.to_owned(), value, grade });
    };
    if let Some((bytes, before)) = refused {
        add("memory refused by the kernel", format!("{bytes}, {before:.1} s before"), Grade::Read);
    }
    for sent in &facts.signals {
        let value = format!("{} by {}, {:.1} s before", name(sent.signal), origin(sent), sent.seconds_before);
        add("signal sent", value, Grade::Read);
    }
    let by = |number: u32| sent(number).map(|sent| (origin(sent), meaning(sent), sent.sender.clone()));
    let (kind, sentence, sender) = match (ended_by, &facts.oom_record) {
        (Some(SIGKILL), Some(id)) => {
            add("record of the kill", id.clone(), Grade::Read);
            (ExitKind::OomKill, "the kernel killed it because memory ran out".to_owned(), None)
        }
        (Some(SIGKILL), None) => match by(SIGKILL) {
            Some((origin, meaning, sender)) => {
                (ExitKind::Killed, format!("SIGKILL from {origin}{meaning}; no OOM kill"), Some(sender))
            }
            None => (ExitKind::Killed, "SIGKILL from an unknown sender; no OOM kill".to_owned(), None),
        },
        (Some(SIGABRT), _) => match refused {
            Some((bytes, _)) => (
                ExitKind::FailedAllocation,
                format!("it aborted after the kernel refused it {bytes} of memory; no OOM kill"),
                None,
            ),
            None => (ExitKind::Aborted, "it aborted (SIGABRT): an assertion, a panic".to_owned(), None),
        },
        (Some(SIGSEGV | SIGBUS), _) => {
            let after = refused
                .map_or_else(String::new, |(bytes, _)| format!(", after the kernel refused it {bytes}"));
            (
                ExitKind::Segfault,
                format!("it accessed invalid memory ({}){after}", name(facts.status & 0x7f)),
                None,
            )
        }
        (Some(SIGTERM), _) => match by(SIGTERM) {
            Some((origin, meaning, sender)) => {
                (ExitKind::Terminated, format!("SIGTERM from {origin}{meaning}"), Some(sender))
            }
            None => (ExitKind::Terminated, "SIGTERM from an unknown sender".to_owned(), None),
        },
        (Some(number), _) => (ExitKind::Crashed, format!("{} ended it", name(number)), None),
        (None, _) => exited(facts, by(SIGTERM), refused),
    };
    Judgement { kind, sentence, sender, evidence }
}

fn exited(
    facts: &EndFacts,
    terminated: Option<(String, String, TaskFacts)>,
    refused: Option<(Bytes, f64)>,
) -> (ExitKind, String, Option<TaskFacts>) {
    let code = exit_code(facts.status).unwrap_or_default();
    match (terminated, refused, code) {
        (Some((origin, meaning, sender)), ..) => (
            ExitKind::Terminated,
            format!("it exited with {code} after SIGTERM from {origin}{meaning}"),
            Some(sender),
        ),
        (None, Some((bytes, _)), 1..) => (
            ExitKind::FailedAllocation,
            format!("it exited with {code} after the kernel refused it {bytes} of memory; no OOM kill"),
            None,
        ),
        (None, _, 129..=192) => (
            ExitKind::Exited,
            format!(
                "it exited with {code} by itself: the code looks like a signal, but no signal ended it; no OOM kill"
            ),
            None,
        ),
        (None, _, _) => (ExitKind::Exited, format!("it exited with {code}"), None),
    }
}

/// The sender of a signal, for a sentence.
fn origin(sent: &SentSignal) -> String {
    let task = &sent.sender;
    let name = task.process_comm.as_ref().unwrap_or(&task.comm);
    let pid = task.pid.unwrap_or(task.tid);
    if sent.from_kernel {
        format!("the kernel, on behalf of {name} ({pid})")
    } else {
        format!("{name} ({pid})")
    }
}

/// The likely reason, given the name of the sending program; names have at most 15 bytes.
fn meaning(sent: &SentSignal) -> String {
    let name = sent.sender.process_comm.as_ref().unwrap_or(&sent.sender.comm).as_str();
    let meaning = match name {
        "earlyoom" | "systemd-oomd" | "oomd" | "nohang" => ": it kills before the kernel has to",
        "kubelet" => ": an eviction, a failed probe, or a deletion",
        "containerd-shim" | "conmon" | "runc" | "crun" | "dockerd" | "containerd" | "crio" => {
            ": the container was stopped"
        }
        "systemd" => ": its unit was stopped",
        "bash" | "sh" | "dash" | "zsh" | "fish" | "kill" | "pkill" | "killall" | "htop" | "top" => {
            ": somebody's command"
        }
        _ if sent.from_kernel => ": its process group, pid namespace or cgroup was killed",
        _ => "",
    };
    meaning.to_owned()
}

/// A signal's name.
pub fn name(signal: u32) -> String {
    let known = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        SIGABRT => "SIGABRT",
        SIGBUS => "SIGBUS",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        SIGSEGV => "SIGSEGV",
        13 => "SIGPIPE",
        SIGTERM => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    known.to_owned()
}

impl ExitRecord {
    /// Adds the runtime's report of this exit.
    pub fn compare(&mut self, runtime: RuntimeExit) {
        let status = self.signal.unwrap_or_else(|| self.exit_code.unwrap_or_default() << 8);
        self.disagreement =
            disagreement(self.kind, &self.sentence, status, says(self.container.as_ref()), &runtime);
        self.runtime = Some(runtime);
    }
}

/// The program that publishes the runtime's report.
pub fn says(container: Option<&Name>) -> &'static str {
    if container.is_some_and(|name| name.pod.is_some() || name.pod_uid.is_some()) {
        "Kubernetes says"
    } else {
        "the runtime says"
    }
}

/// How the runtime's report disagrees with the record, in words; `None` when it agrees.
pub fn disagreement(
    kind: ExitKind,
    sentence: &str,
    status: u32,
    says: &str,
    runtime: &RuntimeExit,
) -> Option<String> {
    let seen = match (signal(status), exit_code(status)) {
        (Some(signal), _) => 128 + signal,
        (None, code) => code.unwrap_or_default(),
    };
    let told = runtime.exit_code;
    match (runtime.reason.as_deref(), kind) {
        (Some("OOMKilled"), ExitKind::OomKill) => None,
        (Some("OOMKilled"), _) => {
            Some(format!("{says} OOMKilled; the kernel did not kill it: {sentence}, exit {seen}"))
        }
        (Some(reason), ExitKind::OomKill) => {
            let code = told.map_or_else(String::new, |code| format!(", exit code {code}"));
            Some(format!("the kernel killed it because memory ran out; {says} {reason}{code}"))
        }
        (None | Some(_), _) => {
            let told = told.filter(|told| i64::from(*told) != i64::from(seen))?;
            Some(format!("{says} exit code {told}; the kernel saw {seen}"))
        }
    }
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;
