//! Bounds that servers were given on their command line.
//!
//! Input: a process whose program is on a list. Output: settings. What stands in a configuration file, or was changed
//! while the server ran, is not seen, and gives no setting.

use super::Launch;
use crate::allocator::counters::{Setting, Target};

/// Redis: the most bytes of data, after which it evicts or refuses.
pub const MAXMEMORY: &str = "maxmemory";
/// PostgreSQL: its cache in shared memory.
pub const SHARED_BUFFERS: &str = "shared_buffers";
/// A block of PostgreSQL, the unit of `-B` and of a number without unit (`BLCKSZ`).
const BLOCK: u64 = 8192;
/// Programs that take Redis's settings.
const REDIS: [&[u8]; 3] = [b"redis-server", b"valkey-server", b"keydb-server"];
const POSTGRES: [&[u8]; 2] = [b"postgres", b"postmaster"];

/// The settings of a server, in bytes. Redis from 6.2 on and the children of PostgreSQL overwrite their command line with
/// a title, so they have none.
pub fn settings(target: &mut Target<'_>) -> Vec<Setting> {
    let is = |names: &[&[u8]]| target.process.modules().iter().any(|module| names.contains(&module.name()));
    let (is_redis, is_postgres) = (is(&REDIS), is(&POSTGRES));
    if !is_redis && !is_postgres {
        return Vec::new();
    }
    let Some(launch) = Launch::read(target) else { return Vec::new() };
    let (name, bytes) =
        if is_redis { (MAXMEMORY, redis(&launch)) } else { (SHARED_BUFFERS, postgres(&launch)) };
    let setting = |bytes: u64| Setting { name: name.to_owned(), value: bytes.to_string() };
    bytes.filter(|bytes| *bytes > 0).map(setting).into_iter().collect()
}

/// `--maxmemory 100mb`; `k`, `m`, `g` are powers of ten, `kb`, `mb`, `gb` powers of two (`memtoull` in util.c).
fn redis(launch: &Launch) -> Option<u64> {
    let value = launch.argument_after("--maxmemory")?.to_ascii_lowercase();
    let (number, unit) = split(&value)?;
    let unit = match unit {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// `-c shared_buffers=1GB`, `--shared_buffers=1GB`, `-B 1000`; a number without a unit counts blocks (`convert_to_base_unit`
/// in guc.c).
fn postgres(launch: &Launch) -> Option<u64> {
    let named = launch.assignment_after("-c", "shared_buffers");
    let named = named.or_else(|| launch.argument("--shared_buffers"));
    let value = named.or_else(|| launch.argument_after("-B"))?;
    let (number, unit) = split(&value)?;
    let unit = match unit {
        "" => BLOCK,
        "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn split(value: &str) -> Option<(u64, &str)> {
    let unit = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(unit)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        allocator::{
            counters::launch::fixture,
            evidence::{Marks, Module, ProcessEvidence},
        },
        mm::region::File,
    };

    fn told(program: &str, arguments: &[&str]) -> Vec<(String, String)> {
        let file = Arc::new(File { device: 1, inode: 1, path: program.as_bytes().to_vec() });
        let module = Module {
            file,
            images: Vec::new(),
            code: Vec::new(),
            marks: Marks::default(),
            is_read: true,
            names: None,
        };
        let process = ProcessEvidence::new(vec![module]);
        let found = fixture::with(arguments, &["PATH=/bin"], |target| {
            settings(&mut Target { process: &process, image: &mut *target.image, ..*target })
        });
        found.into_iter().map(|setting| (setting.name, setting.value)).collect()
    }

    fn one(name: &str, bytes: u64) -> Vec<(String, String)> {
        vec![(name.to_owned(), bytes.to_string())]
    }

    #[test]
    fn units_are_those_of_each_server() {
        let redis = |value| told("/usr/bin/redis-server", &["redis-server", "--maxmemory", value]);
        assert_eq!(redis("100mb"), one(MAXMEMORY, 100 << 20));
        assert_eq!(redis("1G"), one(MAXMEMORY, 1_000_000_000));
        assert_eq!(redis("0"), [], "no bound");
        assert_eq!(redis("1tb"), []);
        let postgres = |arguments: &[&str]| told("/usr/lib/postgresql/15/bin/postgres", arguments);
        assert_eq!(postgres(&["postgres", "-c", "shared_buffers=512MB"]), one(SHARED_BUFFERS, 512 << 20));
        assert_eq!(postgres(&["postgres", "--shared-buffers=128MB"]), one(SHARED_BUFFERS, 128 << 20));
        let twice = ["postgres", "-c", "shared_buffers=1GB", "-c", "shared_buffers=2GB", "-c", "port=5"];
        assert_eq!(postgres(&twice), one(SHARED_BUFFERS, 2 << 30));
        assert_eq!(postgres(&["postgres", "-B", "16384"]), one(SHARED_BUFFERS, 128 << 20));
        assert_eq!(postgres(&["postgres: checkpointer"]), [], "a title");
    }

    #[test]
    fn other_programs_are_not_looked_at() {
        assert_eq!(told("/usr/bin/python3.11", &["python3", "--maxmemory", "100mb"]), []);
    }
}
