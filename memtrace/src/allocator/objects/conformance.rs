//! The test that every reader of objects must pass: any memory, in any layout, that changes while it is read.
//!
//! Input: a reader and memory. Output: the reader's result, or a panic of the test.

use super::{LONGEST_NAME, MOST_ROWS, ObjectReader, Objects};
use crate::allocator::{
    counters::{Absent, conformance::with_target},
    image::fake::{Fake, FakeFiles},
};

/// Checks that the reader finishes within the budget of the image and reports bounded rows. The memory is that of
/// [`with_target`].
///
/// # Errors
/// When the reader is not certain.
///
/// # Panics
/// When a check fails.
pub fn holds(reader: &dyn ObjectReader, memory: Fake, files: &FakeFiles) -> Result<Objects, Absent> {
    with_target(reader.name(), memory, files, |target| {
        assert!(reader.applies(target.process), "it does not apply");
        let objects = reader.read(target)?;
        assert!(objects.rows.len() <= MOST_ROWS, "too many rows");
        assert!(objects.rows.is_sorted_by_key(|row| std::cmp::Reverse(row.bytes)), "not in order");
        for row in &objects.rows {
            // A byte becomes at most `\x00`, four characters, or `\u{10ffff}` of at least two bytes.
            assert!(row.name.len() <= LONGEST_NAME * 10 + 3, "a name of {} bytes", row.name.len());
            assert!(!row.name.chars().any(char::is_control), "a name is not escaped");
            assert!(row.held_bytes <= row.bytes, "more is held than there is");
        }
        assert!(objects.runtime == reader.name(), "it answers for another");
        Ok(objects)
    })
}
