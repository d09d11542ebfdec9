//! The values of scans and walks as they cross the boundary to a reader process.
//!
//! Values of the model <-> compact values with a serde form. Addresses are sent as distances, files and names once for
//! each frame. What comes from a reader process is untrusted: unpacking checks what the model relies on.

pub mod bytes;
pub mod regions;
pub mod scan;
pub mod walk;

#[cfg(test)]
mod tests;
