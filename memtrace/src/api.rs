//! The daemon's HTTP API on its unix socket: JSON, versioned by path.
//!
//! Input: published snapshots. Output: the same types, serialised by the server and read back by the client.

pub mod client;
pub mod server;
mod stream;
pub mod v1;
