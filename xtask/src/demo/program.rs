//! The program that is killed.
//!
//! Cgroup and pace -> a child that grows in it, gone when dropped. Must not start outside of the cgroup:
//! the child moves itself there before it takes memory.

use std::{
    env,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result};

use xtask_base::cgroup::Cgroup;

/// Takes several times the limit before it gives up, for machines that swap.
const GIVE_UP: u64 = 4;

/// A child that runs `cargo xtask grow`.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(cgroup: &Cgroup, limit_mib: u64, pace: Duration) -> Result<Self> {
        let xtask = env::current_exe().context("failed to find our own program")?;
        let mut command = Command::new(xtask);
        command.args(["grow", "--pace-ms", &pace.as_millis().to_string()]);
        command.args(["--give-up-mib", &(limit_mib * GIVE_UP).to_string(), "--procs"]).arg(cgroup.procs());
        Ok(Self(command.spawn().context("failed to start the program that grows")?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().context("failed to wait for the program that grows")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already, which is what we want.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
