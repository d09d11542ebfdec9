//! The daemon's HTTP API on its unix socket and, if configured, on a TCP port: JSON, versioned by path.
//!
//! Input: published snapshots. Output: the same types, serialised by the server and read back by the client.

mod answers;
pub mod cache;
pub mod client;
mod connection;
pub mod doctor;
mod guests;
pub mod history_at;
pub mod interest;
pub mod lane;
pub mod listen;
pub mod origin;
mod peer;
mod profile;
pub mod server;
pub mod state;
mod stream;
pub mod token;
pub mod v1;
