//! Kernel to typed stream: ring buffers -> bytes -> checked events -> in order.
//!
//! Input: the ring buffers of `probe`. Output: [`decode::Event`]s, oldest first, and counts of what was lost. Must
//! not know what the events mean to anybody.

pub mod decode;
pub mod loss;
pub mod order;
pub mod recording;
pub mod ring_buffer;
pub mod stack;
