//! A redis to be measured.
//!
//! Tree of packages -> a running server on a socket of the file system, ended when dropped.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::load::Programs;

const START: Duration = Duration::from_secs(10);

/// A server of our own.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    dir: tempfile::TempDir,
}

impl Redis {
    pub(crate) fn start(programs: &Programs) -> Result<Self> {
        let dir = tempfile::tempdir().context("failed to create redis's directory")?;
        let mut command = programs.of_tree("redis-server");
        command.args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--unixsocket",
        ]);
        command.arg(dir.path().join("socket")).arg("--dir").arg(dir.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let redis = Self { child: child.context("failed to start redis-server")?, dir };
        let start = Instant::now();
        while !redis.socket().exists() {
            if start.elapsed() > START {
                bail!("failed to start redis-server: it made no socket in {} s", START.as_secs());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(redis)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        Path::new(self.dir.path()).join("socket")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only for a server that is gone already, which is what we want.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
