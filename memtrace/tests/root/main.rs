//! Tests that trace this host: real programs, real kernels, real kills. They need root.
