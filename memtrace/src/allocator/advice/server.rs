//! What the data of servers may grow to, by their own settings.
//!
//! Counters of the allocator that a server uses, with the server's settings -> [`Ceiling`]. Pure.
//!
//! Redis: `maxmemory` bounds what its allocator has handed out, without buffers of replicas and of the append-only file
//! (`freeMemoryGetNotCountedMemory` in evict.c); free memory in the allocator comes on top. PostgreSQL: `shared_buffers`
//! bounds its cache in shared memory, which fills as blocks are read; the memory of its backends has no bound together.

use super::{Beside, Ceiling, Form, Keeper};
use crate::{
    allocator::{
        AllocatorId,
        counters::{
            Counters,
            launch::server::{MAXMEMORY, SHARED_BUFFERS},
        },
    },
    units::Bytes,
};

pub fn ceiling(of: &Counters) -> Option<Ceiling> {
    let kept = Keeper::of(of, None);
    if let Some(most) = kept.number(MAXMEMORY) {
        return Some(Ceiling {
            part: "Redis's data",
            most: Some(Bytes(most)),
            set_by: format!("--maxmemory {}", Bytes(most)),
            rows: (AllocatorId::named(&of.allocator)?.name(), Ceiling::ANY_KIND),
            held: of.allocated_bytes.unwrap_or_default(),
            form: Form::Mib("--maxmemory ", "mb"),
            beside: Beside::default(),
        });
    }
    let most = kept.number(SHARED_BUFFERS)?;
    Some(Ceiling {
        part: "PostgreSQL's shared buffers",
        most: Some(Bytes(most)),
        set_by: format!("shared_buffers={}", Bytes(most)),
        rows: ("shmem", "shared anonymous"),
        held: Bytes(0),
        form: Form::Mib("shared_buffers=", "MB"),
        beside: Beside::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{advice, counters::Setting};

    fn of(allocator: &str, name: &str, bytes: u64) -> Option<Ceiling> {
        let setting = Setting { name: name.to_owned(), value: bytes.to_string() };
        let counters = Counters {
            allocator: allocator.to_owned(),
            allocated_bytes: Some(Bytes(7)),
            settings: vec![setting],
            ..Counters::default()
        };
        advice::ceiling(&counters, None)
    }

    #[test]
    fn a_server_s_bound_is_found_in_any_allocator() {
        let redis = of("jemalloc", MAXMEMORY, 1 << 30).unwrap();
        assert_eq!((redis.most, redis.rows.0, redis.held), (Some(Bytes(1 << 30)), "jemalloc", Bytes(7)));
        assert_eq!(redis.bounded(Bytes(100 << 20)), "--maxmemory 100mb");
        let postgres = of("glibc", SHARED_BUFFERS, 1 << 30).unwrap();
        assert_eq!(postgres.rows, ("shmem", "shared anonymous"));
        assert_eq!(of("glibc", "arena_max", 2), None);
    }
}
