//! A part of a page as a server-sent event, and back.
//!
//! HTML -> one event, whatever is in it. Pure.

const BEFORE: &[u8] = b"data: ";
const AFTER: &[u8] = b"\n\n";

/// The event; a line end in the text would end its data.
pub(super) fn event(html: &str) -> Vec<u8> {
    let one_line = html.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
    BEFORE.iter().copied().chain(one_line).chain(AFTER.iter().copied()).collect()
}

/// The text in an event.
pub(super) fn html(event: &[u8]) -> &[u8] {
    let text = event.strip_prefix(BEFORE).unwrap_or(event);
    text.strip_suffix(AFTER).unwrap_or(text)
}
