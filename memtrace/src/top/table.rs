//! A snapshot as a plain table: header, processes, one line each.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::{
    snapshot::{ProcessRow, Snapshot, Tracer},
    units::Bytes,
};

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Columns to fill at most; the cgroup is cut to fit, from its start.
    pub width: usize,
    /// Rows to show at most.
    pub rows: usize,
}

/// Columns before the cgroup.
const FIXED: usize = 72;

/// The table.
pub fn table(snapshot: &Snapshot, options: Options) -> String {
    let mut out = header(snapshot);
    let room = options.width.saturating_sub(FIXED).max(12);
    let _ = writeln!(
        out,
        "\n{:>8} {:<16} {:>11} {:>13} {:>11} {:>6}  CGROUP",
        "PID", "COMMAND", "RSS", "GROWTH/s", "LIMIT", "%LIMIT"
    );
    for process in snapshot.processes.iter().take(options.rows) {
        out.push_str(&row(process, room));
    }
    let hidden = snapshot.processes.len().saturating_sub(options.rows);
    if hidden > 0 {
        let _ = writeln!(out, "{:>8} and {hidden} more", "");
    }
    out
}

fn header(snapshot: &Snapshot) -> String {
    let time = snapshot.time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut out = format!("memtrace {time}   {} processes", snapshot.processes.len());
    match &snapshot.tracer {
        None => out.push_str("   no daemon: read from /proc alone, without probes\n"),
        Some(tracer) => {
            out.push('\n');
            out.push_str(&tracer_lines(tracer));
        }
    }
    out
}

fn tracer_lines(tracer: &Tracer) -> String {
    let Tracer {
        started: _,
        events,
        fault_period,
        hooks_attached,
        hooks_total,
        kills,
        bare_marks: _,
        kills_not_stored,
        losses,
    } = tracer;
    let sampling = match fault_period {
        0 => "faults not sampled".to_owned(),
        period => format!("1 fault of {period} sampled"),
    };
    let mut out = format!(
        "hooks {hooks_attached}/{hooks_total}   {events} events   {sampling}   {kills} OOM kills recorded\n"
    );
    if *kills_not_stored > 0 {
        let _ = writeln!(
            out,
            "NOT STORED: {kills_not_stored} OOM kills are not on disk yet (see the daemon's log)"
        );
    }
    if losses.is_empty() {
        out.push_str("losses: none\n");
    }
    for loss in losses {
        let _ = writeln!(out, "LOST: {} {} ({})", loss.count, loss.meaning, loss.name);
    }
    out
}

fn row(process: &ProcessRow, room: usize) -> String {
    let limit = process.limit.as_ref().map(|limit| limit.bytes);
    let share = process.rss_bytes.zip(limit).and_then(|(Bytes(rss), Bytes(limit))| {
        (limit > 0).then(|| format!("{:.0}%", rss as f64 * 100.0 / limit as f64))
    });
    format!(
        "{:>8} {:<16} {:>11} {:>13} {:>11} {:>6}  {}\n",
        process.pid,
        keep_start(&process.comm, 16),
        or_dash(process.rss_bytes.map(|bytes| bytes.to_string())),
        or_dash(process.growth_bytes_per_second.map(growth)),
        // A dash is "no limit, or not known"; the JSON tells which.
        or_dash(limit.map(|bytes| bytes.to_string())),
        or_dash(share),
        keep_end(process.cgroup.as_deref().unwrap_or("?"), room),
    )
}

/// `+1.5 MiB`, `-200.0 KiB`, `0`: a figure that rounds to nothing is nothing.
fn growth(bytes_per_second: f64) -> String {
    let size = Bytes(bytes_per_second.abs().round() as u64);
    match size {
        Bytes(0) => "0".to_owned(),
        size if bytes_per_second < 0.0 => format!("-{size}"),
        size => format!("+{size}"),
    }
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

fn keep_start(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// The end of a path tells more than its start.
fn keep_end(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(length.saturating_sub(columns.saturating_sub(1)))).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        container::memcg::Limit,
        ingest::loss::Loss,
        snapshot::{ProcessRow, SCHEMA, Snapshot, Tracer},
        units::{Bytes, Grade},
    };

    use super::{Options, growth, table};

    fn process(pid: u32, rss: u64, growth: Option<f64>, cgroup: &str) -> ProcessRow {
        ProcessRow {
            pid,
            comm: "redis-server".into(),
            uid: Some(0),
            started: None,
            cgroup: Some(cgroup.into()),
            rss_bytes: Some(Bytes(rss)),
            rss_grade: Grade::Read,
            rss_age_seconds: Some(0.1),
            growth_bytes_per_second: growth,
            growth_window_seconds: growth.map(|_| 10.0),
            limit: Some(Limit { bytes: Bytes(64 << 20), owner: "/a".into() }),
        }
    }

    fn snapshot(losses: Vec<Loss>) -> Snapshot {
        let mut snapshot = Snapshot {
            schema: SCHEMA,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            tracer: Some(Tracer {
                started: "2026-01-02T03:00:00Z".parse().unwrap(),
                events: 1234,
                fault_period: 64,
                hooks_attached: 11,
                hooks_total: 11,
                kills: 2,
                bare_marks: 0,
                kills_not_stored: 0,
                losses,
            }),
            processes: vec![
                process(2, 1 << 20, None, "/a"),
                process(7, 32 << 20, Some(1.5 * 1_048_576.0), "/kubepods/burstable/pod12345678/abcdef"),
                process(1, 1 << 20, Some(-2048.0), "/"),
            ],
        };
        snapshot.sort();
        snapshot
    }

    #[test]
    fn the_largest_comes_first_and_lines_keep_their_width() {
        let text = table(&snapshot(vec![]), Options { width: 90, rows: 10 });
        let expected = "\
memtrace 2026-01-02 03:04:05 UTC   3 processes
hooks 11/11   1234 events   1 fault of 64 sampled   2 OOM kills recorded
losses: none

     PID COMMAND                  RSS      GROWTH/s       LIMIT %LIMIT  CGROUP
       7 redis-server        32.0 MiB      +1.5 MiB    64.0 MiB    50%  …od12345678/abcdef
       1 redis-server         1.0 MiB      -2.0 KiB    64.0 MiB     2%  /
       2 redis-server         1.0 MiB             -    64.0 MiB     2%  /a
";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.chars().count() <= 90));
    }

    #[test]
    fn losses_are_never_silent() {
        let loss = Loss { name: "stream_full".into(), count: 3, meaning: "events".into() };
        let text = table(&snapshot(vec![loss]), Options { width: 90, rows: 1 });
        assert!(text.contains("LOST: 3 events (stream_full)\n"), "{text}");
        assert!(text.contains("and 2 more"), "{text}");
    }

    #[test]
    fn growth_has_a_sign() {
        assert_eq!(growth(0.3), "0");
        assert_eq!(growth(-1024.0), "-1.0 KiB");
        assert_eq!(growth(1024.0), "+1.0 KiB");
    }
}
