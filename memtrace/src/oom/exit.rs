//! How a process really ended: by the OOM killer, by whose signal, by its own fault, or by its own choice.
//!
//! Input: its exit code as `wait` sees it, the signals that were sent to it, memory that it was refused, the OOM kill
//! that it was a victim of. Output: [`ExitRecord`] with a sentence. Pure. What a runtime says is compared, never believed.

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
/// A refusal that is older did not end the process, in seconds.
const REFUSED_WITHIN: f64 = 5.0;

/// Kinds of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// The kernel killed it because memory ran out.
    OomKill,
    /// SIGKILL, by somebody else.
    Killed,
    /// It ended after SIGTERM.
    Terminated,
    /// It was refused memory and aborted.
    FailedAllocation,
    /// It aborted: an assertion, a panic.
    Aborted,
    /// It touched what it may not.
    Segfault,
    /// Another signal.
    Crashed,
    /// It ended by itself.
    Exited,
}

/// A signal that was sent to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentSignal {
    /// Number.
    pub signal: u32,
    /// Who ran when it was sent.
    pub sender: TaskFacts,
    /// Whether the kernel sent it on its own account.
    pub from_kernel: bool,
    /// Seconds before the end.
    pub seconds_before: f64,
}

/// What is known of an end.
#[derive(Clone, Debug, PartialEq)]
pub struct EndFacts {
    /// Who.
    pub task: TaskFacts,
    /// As `wait` sees it: `code << 8`, or the signal with 0x80 for a core dump.
    pub status: u32,
    /// Signals that were sent to it, oldest first.
    pub signals: Vec<SentSignal>,
    /// Memory that it was last refused, and how many seconds before.
    pub refused: Option<(Bytes, f64)>,
    /// Id of the record of the kill that it was a victim of.
    pub oom_record: Option<String>,
}

/// An end, as it is stored and shown.
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
    /// Who.
    #[serde(flatten)]
    pub task: TaskFacts,
    /// What people call its container.
    pub container: Option<Name>,
    /// Whether it was its container's oldest process.
    pub is_main: bool,
    /// What kind of end.
    pub kind: ExitKind,
    /// In one sentence.
    pub sentence: String,
    /// Exit code, when no signal ended it.
    pub exit_code: Option<u32>,
    /// The signal that ended it.
    pub signal: Option<u32>,
    /// Who sent that.
    pub sender: Option<TaskFacts>,
    /// Id of the record of the OOM kill.
    pub oom_record: Option<String>,
    /// The most that was ever resident.
    pub peak_rss_bytes: Option<Bytes>,
    /// What the sentence rests on.
    pub evidence: Vec<Fact>,
    /// What the container's runtime says of it.
    pub runtime: Option<RuntimeExit>,
    /// Where the runtime disagrees, in words.
    pub disagreement: Option<String>,
}

/// What a container runtime says of an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeExit {
    /// Its word: `OOMKilled`, `Error`, `Completed`.
    pub reason: Option<String>,
    /// Its exit code: 128 and the signal's number for a signal.
    pub exit_code: Option<i32>,
}

/// What kind of end it was, by whom, in one sentence, and what that rests on.
pub struct Judgement {
    /// Kind.
    pub kind: ExitKind,
    /// Sentence.
    pub sentence: String,
    /// Who sent the signal.
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

/// Judges an end.
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

/// Who sent a signal.
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

/// What it means that this program sent it; names are at most 15 bytes long.
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
    /// Takes what the container's runtime says of this end.
    pub fn compare(&mut self, runtime: RuntimeExit) {
        let status = self.signal.unwrap_or_else(|| self.exit_code.unwrap_or_default() << 8);
        self.disagreement =
            disagreement(self.kind, &self.sentence, status, says(self.container.as_ref()), &runtime);
        self.runtime = Some(runtime);
    }
}

/// Who passes on what the runtime says.
pub fn says(container: Option<&Name>) -> &'static str {
    if container.is_some_and(|name| name.pod.is_some() || name.pod_uid.is_some()) {
        "Kubernetes says"
    } else {
        "the runtime says"
    }
}

/// Where a runtime disagrees with what was seen, in words; `None` when it does not.
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
