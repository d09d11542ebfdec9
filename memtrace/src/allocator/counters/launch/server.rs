//! Bounds and numbers of workers that servers were given on their command line or in their environment.
//!
//! Input: a process whose program is on a list. Output: settings. What stands in a configuration file, or was changed
//! while the server ran, is not seen, and gives no setting.

use super::Launch;
use crate::allocator::{
    counters::{Setting, Target},
    evidence::Mark,
};

/// Redis: the most bytes of data, after which it evicts or refuses.
pub const MAXMEMORY: &str = "maxmemory";
/// PostgreSQL: its cache in shared memory.
pub const SHARED_BUFFERS: &str = "shared_buffers";
/// The number of processes that a prefork server was told to run.
pub const WORKERS: &str = "workers";
/// More processes than this are none that anybody wants.
const MOST_WORKERS: u64 = 100_000;
/// A block of PostgreSQL, the unit of `-B` and of a number without unit (`BLCKSZ`).
const BLOCK: u64 = 8192;
/// Programs that take Redis's settings.
const REDIS: [&[u8]; 3] = [b"redis-server", b"valkey-server", b"keydb-server"];
const POSTGRES: [&[u8]; 2] = [b"postgres", b"postmaster"];

/// How a prefork server is told the number of its processes: its program or script, options with `=`, options with the
/// number in the next argument, variables.
struct Prefork {
    program: &'static str,
    long: &'static [&'static str],
    short: &'static [&'static str],
    variables: &'static [&'static str],
}

const WEB: &[&str] = &["WEB_CONCURRENCY"];
const PREFORK: [Prefork; 6] = [
    Prefork { program: "gunicorn", long: &["--workers"], short: &["-w", "--workers"], variables: WEB },
    Prefork { program: "uvicorn", long: &["--workers"], short: &["--workers"], variables: WEB },
    Prefork { program: "hypercorn", long: &["--workers"], short: &["-w", "--workers"], variables: &[] },
    Prefork { program: "celery", long: &["--concurrency"], short: &["-c", "--concurrency"], variables: &[] },
    Prefork { program: "puma", long: &["--workers"], short: &["-w", "--workers"], variables: WEB },
    Prefork {
        program: "uwsgi",
        long: &["--processes", "--workers"],
        short: &["-p", "--processes", "--workers"],
        variables: &["UWSGI_PROCESSES", "UWSGI_WORKERS"],
    },
];

/// The settings of a server: bytes, or a number of processes. Redis from 6.2 on and the children of PostgreSQL overwrite
/// their command line with a title, so they have none.
pub fn settings(target: &mut Target<'_>) -> Vec<Setting> {
    let is = |names: &[&[u8]]| target.process.modules().iter().any(|module| names.contains(&module.name()));
    let (is_redis, is_postgres) = (is(&REDIS), is(&POSTGRES));
    let is_ruby = || target.process.modules().iter().any(|module| is_of_ruby(module.name()));
    let may_prefork = target.process.has(Mark::Cpython) || is(&[b"uwsgi"]) || is_ruby();
    if !is_redis && !is_postgres && !may_prefork {
        return Vec::new();
    }
    let Some(launch) = Launch::read(target) else { return Vec::new() };
    let found = match () {
        () if is_redis => [(MAXMEMORY, redis(&launch)), (WORKERS, None)],
        () if is_postgres => [(SHARED_BUFFERS, postgres(&launch)), (WORKERS, connections(&launch))],
        () => [(MAXMEMORY, None), (WORKERS, workers(&launch))],
    };
    let found =
        found.into_iter().filter_map(|(name, number)| Some((name, number.filter(|number| *number > 0)?)));
    found.map(|(name, number)| Setting { name: name.to_owned(), value: number.to_string() }).collect()
}

fn is_of_ruby(module: &[u8]) -> bool {
    module.starts_with(b"ruby") || module.starts_with(b"libruby")
}

/// `gunicorn -w 8 app`, `uvicorn --workers=8 app`, `WEB_CONCURRENCY=8 puma`. An option overrides a variable.
fn workers(launch: &Launch) -> Option<u64> {
    let of = PREFORK.iter().find(|of| launch.runs(of.program))?;
    let long = of.long.iter().find_map(|name| launch.argument(name));
    let option = long.or_else(|| of.short.iter().find_map(|name| launch.argument_after(name)));
    let value = option.or_else(|| of.variables.iter().find_map(|name| launch.variable_size(name)))?;
    count(&value)
}

/// `-c max_connections=200`, `-N 200`: each connection has a process.
fn connections(launch: &Launch) -> Option<u64> {
    let named = launch.assignment_after("-c", "max_connections");
    let named = named.or_else(|| launch.argument("--max_connections"));
    count(&named.or_else(|| launch.argument_after("-N"))?)
}

fn count(value: &str) -> Option<u64> {
    value.parse().ok().filter(|number| *number <= MOST_WORKERS)
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
        told_in(program, arguments, &["PATH=/bin"])
    }

    fn told_in(program: &str, arguments: &[&str], environment: &[&str]) -> Vec<(String, String)> {
        let file = Arc::new(File { device: 1, inode: 1, path: program.as_bytes().to_vec() });
        let module = Module {
            file,
            images: Vec::new(),
            code: Vec::new(),
            marks: if program.contains("python") {
                Marks::default().with(Mark::Cpython)
            } else {
                Marks::default()
            },
            is_read: true,
            names: None,
        };
        let process = ProcessEvidence::new(vec![module]);
        let found = fixture::with(arguments, environment, |target| {
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
    fn prefork_servers_say_how_many_they_may_run() {
        let python =
            |arguments: &[&str], environment: &[&str]| told_in("/usr/bin/python3.11", arguments, environment);
        let gunicorn = ["python3", "/usr/local/bin/gunicorn", "-w", "8", "app:app"];
        assert_eq!(python(&gunicorn, &["WEB_CONCURRENCY=3"]), one(WORKERS, 8), "the option overrides");
        assert_eq!(python(&["python3", "/bin/gunicorn", "app:app"], &["WEB_CONCURRENCY=3"]), one(WORKERS, 3));
        assert_eq!(python(&["python3", "/bin/uvicorn", "--workers=4", "app"], &[]), one(WORKERS, 4));
        assert_eq!(python(&["python3", "/bin/celery", "worker", "--concurrency=16"], &[]), one(WORKERS, 16));
        assert_eq!(python(&["python3", "job.py", "-w", "8"], &["WEB_CONCURRENCY=3"]), [], "another program");
        assert_eq!(python(&["gunicorn: master [app]"], &[]), [], "a title");
        assert_eq!(python(&["python3", "/bin/gunicorn", "-w", "s3cret"], &[]), []);
        assert_eq!(told("/usr/bin/uwsgi", &["uwsgi", "--http", ":80", "-p", "6"]), one(WORKERS, 6));
        let puma = told_in("/usr/bin/ruby3.1", &["ruby", "/bin/puma"], &["WEB_CONCURRENCY=2"]);
        assert_eq!(puma, one(WORKERS, 2));
        let postgres = ["postgres", "-c", "shared_buffers=1GB", "-c", "max_connections=200"];
        let both = [one(SHARED_BUFFERS, 1 << 30), one(WORKERS, 200)].concat();
        assert_eq!(told("/usr/lib/postgresql/15/bin/postgres", &postgres), both);
    }

    #[test]
    fn other_programs_are_not_looked_at() {
        assert_eq!(told("/usr/bin/python3.11", &["python3", "--maxmemory", "100mb"]), []);
    }
}
