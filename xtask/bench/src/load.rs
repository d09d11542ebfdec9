//! The work that is measured: one row each.
//!
//! Row -> the command that does it, and the figure that it prints. Must not decide how often.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    http::{self, Http},
    redis::Redis,
};
use xtask_base::{packages, process, workspace::Workspace};

/// What a figure is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Figure {
    /// Nanoseconds for one: less is better.
    Nanoseconds,
    /// So many a second: more is better.
    Rate,
}

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) does: &'static str,
    pub(crate) figure: Figure,
    /// Arguments of bench/load.c.
    arguments: &'static [&'static str],
    needs: Needs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Needs {
    Nothing,
    Jemalloc,
    Redis,
    Http,
}

const fn load(name: &'static str, does: &'static str, arguments: &'static [&'static str]) -> Load {
    Load { name, does, figure: Figure::Nanoseconds, arguments, needs: Needs::Nothing }
}

impl Load {
    /// A little of it, where the work has threads.
    pub(crate) fn shorter(self) -> Self {
        match self.arguments {
            ["churn", ..] => Self { arguments: &["churn", "20000", "8"], ..self },
            _ => self,
        }
    }
}

/// All of it; each takes about half a second.
pub(crate) const LOADS: [Load; 10] = [
    load("fault", "page faults on the same 1 MiB of anonymous memory, one thread", &["fault", "500000"]),
    load("fill", "page faults, 64 MiB at a time", &["fill", "200000"]),
    load("mmap", "mmap and munmap of 64 KiB", &["mmap", "150000"]),
    load("mmap8", "mmap, 8 page faults, munmap", &["mmap8", "40000"]),
    load("syscall", "getppid, a system call that memtrace does not trace", &["syscall", "2000000"]),
    load("churn", "malloc and free, 8 threads, glibc", &["churn", "500000", "8"]),
    Load {
        needs: Needs::Jemalloc,
        ..load("churn-jemalloc", "malloc and free, 8 threads, jemalloc", &["churn", "500000", "8"])
    },
    load("spawn", "fork, exec and wait", &["spawn", "300"]),
    Load {
        needs: Needs::Redis,
        figure: Figure::Rate,
        ..load("redis", "redis-benchmark, SET of 256 bytes, 50 clients", &[])
    },
    Load {
        needs: Needs::Http,
        figure: Figure::Rate,
        ..load("http", "wrk, 32 clients of an HTTP service in Rust with jemalloc", &[])
    },
];

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) load: PathBuf,
    pub(crate) http: PathBuf,
    /// A tree of packages with jemalloc and redis.
    pub(crate) tree: PathBuf,
    /// Another, with what makes load and with other tools.
    pub(crate) tools: PathBuf,
}

/// What runs while its clients are timed.
#[derive(Debug)]
pub(crate) struct Services {
    redis: Redis,
    http: Http,
}

impl Services {
    pub(crate) fn start(programs: &Programs) -> Result<Self> {
        Ok(Self { redis: Redis::start(programs)?, http: Http::start(&programs.http)? })
    }
}

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

impl Programs {
    /// Compiles bench/load.c and the HTTP service.
    pub(crate) fn prepare(workspace: &Workspace, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        let load = dir.join("load");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-pthread", "-Wall", "-Wextra", "-o"])
            .arg(&load)
            .arg(workspace.root().join("bench/load.c"));
        process::capture(&mut cc)?;
        Ok(Self {
            load,
            http: http::build(workspace)?,
            tree: packages::small_root()?,
            tools: packages::tools_root()?,
        })
    }

    /// A program of the tree, with the tree's own libraries.
    pub(crate) fn of_tree(&self, program: &str) -> Command {
        in_tree(&self.tree, program)
    }

    /// The same, of the tools.
    pub(crate) fn of_tools(&self, program: &str) -> Command {
        in_tree(&self.tools, program)
    }

    /// Does the work once, behind `before`, and hands back the figure.
    pub(crate) fn run(&self, load: &Load, before: &[String], services: Option<&Services>) -> Result<f64> {
        let mut command = match before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.load);
                command
            }
            None => Command::new(&self.load),
        };
        match load.needs {
            Needs::Nothing => {}
            Needs::Jemalloc => {
                command.env("LD_PRELOAD", self.tree.join(LIBRARIES).join("libjemalloc.so.2"));
            }
            Needs::Redis => return self.redis(services.context("no redis was started")?),
            Needs::Http => return self.http(services.context("no HTTP service was started")?),
        }
        let said = process::capture(command.args(load.arguments))?;
        // Among what a tool before it says.
        let figure = said.lines().find_map(|line| line.trim().parse().ok());
        figure.with_context(|| format!("failed to read the figure of {}: {said:?}", load.name))
    }

    /// Requests a second; through a socket of the file system, so that nothing but this machine is involved.
    fn redis(&self, services: &Services) -> Result<f64> {
        let mut command = self.of_tree("redis-benchmark");
        command
            .arg("-s")
            .arg(services.redis.socket())
            .args(["-t", "set", "-d", "256", "-n", "60000", "-r", "100000", "--csv"]);
        let said = process::capture(&mut command)?;
        // "SET","76923.08",...
        let line =
            said.lines().find(|line| line.starts_with("\"SET\"")).context("redis-benchmark said nothing")?;
        let rate = line.split(',').nth(1).map(|field| field.trim_matches('"'));
        rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("failed to read {line:?}"))
    }

    /// Requests a second, over the loopback.
    fn http(&self, services: &Services) -> Result<f64> {
        let mut command = self.of_tools("wrk");
        let url = format!("http://{}/", services.http.address);
        let said = process::capture(command.args(["-t", "1", "-c", "32", "-d", "1"]).arg(url))?;
        let rate =
            said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
        rate.with_context(|| format!("failed to read what wrk said:\n{said}"))
    }
}

fn in_tree(tree: &Path, program: &str) -> Command {
    let mut command = Command::new(tree.join("lib64/ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(tree.join(LIBRARIES)).arg(tree.join("usr/bin").join(program));
    command
}
