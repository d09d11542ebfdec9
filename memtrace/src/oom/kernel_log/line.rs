//! Single lines of the kernel log.

use super::{Held, LoggedKill, Report};
use crate::{text::escape, units::Bytes};

/// Priorities from here on belong to programs that write to /dev/kmsg, not to the kernel (facility 1, `LOG_USER`).
const USERS: u32 = 8;
/// "No limit" is printed as the largest count of pages; larger values mean no limit.
const NO_LIMIT: u64 = 1 << 53;

/// A record of /dev/kmsg that the kernel itself wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number.
    pub sequence: u64,
    /// Microseconds of the log's clock.
    pub microseconds: u64,
    /// Its text; bytes outside ASCII are written as `\x1b`.
    pub text: &'a str,
}

/// `6,339,5140900,-;text`, then lines of ` KEY=value`. `None` for records that the kernel did not write.
pub fn parse(bytes: &[u8]) -> Option<Line<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (prefix, rest) = text.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let microseconds = fields.next()?.parse().ok()?;
    let text = rest.split('\n').next()?;
    (priority < USERS).then_some(Line { sequence, microseconds, text })
}

/// Parses the parts of a report that `dump` does not read.
pub(super) fn report(text: &str, report: &mut Report) {
    if let Some(numbers) = text.strip_prefix("memory: usage ") {
        // memory: usage 65536kB, limit 65536kB, failcnt 38
        report.usage = kib(number(numbers, "", "kB"));
        report.limit = kib(number(numbers, "limit ", "kB").filter(|limit| *limit < NO_LIMIT));
        report.fail_count = number(numbers, "failcnt ", "");
    } else if text.starts_with("CPU: ") {
        // CPU: 1 UID: 0 PID: 5288 Comm: eat Not tainted 6.18.5 #1
        report.invoker_tid = number(text, " PID: ", " ");
    } else if let Some(rest) = text.strip_prefix("oom-kill:") {
        report.victim_cgroup = path(rest, ",task_memcg=", ",task=");
    }
}

/// `Memory cgroup out of memory: Killed process 29666 (python3) total-vm:82356kB, anon-rss:72192kB, file-rss:6600kB,
/// shmem-rss:0kB, UID:0 pgtables:196kB oom_score_adj:0`
pub(super) fn killed(text: &str) -> Option<LoggedKill> {
    let (before, rest) = text.split_once("Killed process ")?;
    let (tid, rest) = rest.split_once(" (")?;
    // Split from the right, because the name may contain anything.
    let (comm, numbers) = rest.rsplit_once(") total-vm:")?;
    Some(LoggedKill {
        tid: tid.parse().ok()?,
        comm: unescape(comm),
        uid: number(numbers, "UID:", " "),
        oom_score_adj: number(numbers, "oom_score_adj:", ""),
        held: Held {
            total: kib(number(numbers, "", "kB")),
            anon: kib(number(numbers, "anon-rss:", "kB")),
            file: kib(number(numbers, "file-rss:", "kB")),
            shmem: kib(number(numbers, "shmem-rss:", "kB")),
            page_tables: kib(number(numbers, "pgtables:", "kB")),
        },
        is_memcg: match before {
            before if before.starts_with("Memory cgroup out of memory") => Some(true),
            before if before.starts_with("Out of memory") => Some(false),
            _ => None,
        },
        ..LoggedKill::default()
    })
}

fn number<T: std::str::FromStr>(text: &str, before: &str, after: &str) -> Option<T> {
    let (_, rest) = text.split_once(before)?;
    let end = if after.is_empty() { rest.trim_end() } else { rest.split(after).next()? };
    end.parse().ok()
}

fn kib(number: Option<u64>) -> Option<Bytes> {
    number.map(Bytes::from_kib)
}

/// A path may contain a comma; it ends where the next key begins.
fn path(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    Some(unescape(rest.split(after).next()?))
}

/// Converts the log's `\x1b` back to bytes, and escapes those as in every record.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once("\\x") {
        bytes.extend_from_slice(plain.as_bytes());
        match escaped.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = escaped.get(2..).unwrap_or_default();
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = escaped;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    escape(&bytes)
}
