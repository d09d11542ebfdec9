//! memtrace: what is this memory, and why was my container killed?
