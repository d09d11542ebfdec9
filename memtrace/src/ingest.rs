//! From ring buffers to typed events: bytes -> checked events -> ordered by time.
//!
//! Input: the ring buffers of `probe`. Output: [`decode::Event`]s, oldest first, and counts of what was lost. Must not
//! interpret the events.

pub mod decode;
pub mod loss;
pub mod order;
pub mod recording;
pub mod ring_buffer;
pub mod stack;
