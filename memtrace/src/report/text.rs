//! One kill as text, for a person in a hurry: the answer first, the proof below it.
//!
//! `&OomRecord` -> lines of at most [`Style::width`] columns. Long paths are shortened in tables and whole in the
//! blocks; one name that is longer than a line is the only thing that may be wider.

use super::{
    blocks,
    chain::chain,
    describe::moment,
    page::Page,
    sentence,
    style::{Paint, Style},
};
use crate::oom::record::OomRecord;

/// Writes the report of one kill.
pub fn text(record: &OomRecord, style: Style) -> String {
    let mut page = Page::new(style);
    page.paragraph(&sentence(record), Paint::Heading);

    page.heading("When");
    page.field("time", &moment(record.time));
    page.field("since boot", &since_boot(record.ktime_ns));
    page.field("boot id", &record.boot_id);
    page.field("record id", &record.id);

    blocks::victim(&mut page, record);
    blocks::memory(&mut page, &record.victim.memory);
    blocks::limit(&mut page, record);
    chain(&mut page, record);
    blocks::trigger(&mut page, record);
    blocks::evidence(&mut page, record);

    page.blank();
    page.paragraph(closing(record), Paint::Plain);
    page.finish()
}

/// Seconds like the kernel log's, to find the lines there; its clock stops in suspend, this one does not.
fn since_boot(ktime_ns: u64) -> String {
    format!("{}.{:06} s", ktime_ns / 1_000_000_000, ktime_ns % 1_000_000_000 / 1_000)
}

fn closing(record: &OomRecord) -> &'static str {
    if record.evidence.kill_signal_seen {
        "An OOMKill comes from outside: the kernel sent SIGKILL, the program did not crash."
    } else {
        "An OOMKill comes from outside: the kernel sends SIGKILL, the program does not crash."
    }
}
