//! Why it was killed: the kill as the kernel side froze it, made into a record.

pub mod record;
