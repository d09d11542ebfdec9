//! `picture`: the pictures of `memtrace top` in the README, of real programs on this machine.
//!
//! Machine -> docs/top.svg and docs/top-container.svg. Must leave the machine as it found it, as the demo does.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result};

use xtask_base::{
    cgroup::{Cgroup, Home},
    requirements,
    workspace::Workspace,
};

use crate::demo::{self, agent::Agent, patience::Patience};

/// Draw the pictures of memtrace top for the README.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Has the requirements of `cargo xtask demo`. Takes about two minutes after the build."
)]
pub(crate) struct Args {
    /// A memtrace to show instead of building one
    #[arg(long, hide = true)]
    bin: Option<PathBuf>,
    /// Seconds of history in the pictures
    #[arg(long, value_name = "N", default_value_t = 100)]
    seconds: u64,
}

/// A program: its name, limit, what it keeps, and the time between two MiB.
struct Role {
    name: &'static str,
    limit_mib: u64,
    hold_mib: u64,
    pace_ms: u64,
}

const ROLES: [Role; 6] = [
    Role { name: "cart", limit_mib: 256, hold_mib: 1024, pace_ms: 480 },
    Role { name: "checkout", limit_mib: 128, hold_mib: 112, pace_ms: 20 },
    Role { name: "search", limit_mib: 512, hold_mib: 210, pace_ms: 1 },
    Role { name: "session", limit_mib: 96, hold_mib: 80, pace_ms: 1 },
    Role { name: "mailer", limit_mib: 64, hold_mib: 18, pace_ms: 1 },
    Role { name: "metrics", limit_mib: 192, hold_mib: 90, pace_ms: 900 },
];
/// A program that dies of its limit once, in the cgroup of `mailer`.
const VICTIM: Role = Role { name: "mailer", limit_mib: 64, hold_mib: 1024, pace_ms: 1 };

/// A child that is gone when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already, which is what we want.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let docs = Workspace::find()?.root().join("docs");
    let home = requirements::check()?;
    let parent = home.parent.clone();
    with_programs(&home, args.bin.as_deref(), args.seconds, |agent| {
        for (name, keys) in [("top.svg", ""), ("top-container.svg", "\n")] {
            let picture = agent.top_with(&["-o", "svg", "--filter", "service", "--keys", keys])?;
            let path = docs.join(name);
            fs::write(&path, without_parent(&picture, &parent))
                .with_context(|| format!("failed to write {}", path.display()))?;
            println!("{}", path.display());
        }
        Ok(())
    })
}

/// Shows a daemon that has watched the programs for a while.
pub(crate) fn with_programs(
    home: &Home,
    bin: Option<&Path>,
    seconds: u64,
    show: impl FnOnce(&mut Agent) -> Result<()>,
) -> Result<()> {
    let bin = match bin {
        Some(bin) => bin.to_owned(),
        None => demo::built()?,
    };
    let patience = Patience::until_interrupted()?;
    let state = tempfile::Builder::new().prefix("memtrace-picture-").tempdir();
    let state = state.context("failed to create a directory for the daemon's state")?;
    let mut agent = Agent::start(&bin, state.path())?;
    agent.wait_until_ready(&patience)?;

    let make =
        |role: &Role| Cgroup::create(home.clone(), &format!("{}.service", role.name), role.limit_mib << 20);
    let cgroups = ROLES.iter().map(make).collect::<Result<Vec<_>>>()?;
    let mailer = ROLES.iter().position(|role| role.name == VICTIM.name).and_then(|at| cgroups.get(at));
    if let Some(cgroup) = mailer {
        let mut victim = start(&VICTIM, cgroup)?;
        let ended = || victim.0.try_wait().context("failed to wait for the victim");
        patience.wait("see a program killed", Duration::from_secs(30), ended)?;
    }
    let programs = ROLES.iter().zip(&cgroups).map(|(role, cgroup)| start(role, cgroup));
    let programs = programs.collect::<Result<Vec<_>>>()?;
    println!("letting {} programs run for {} s", programs.len(), seconds);
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    let is_over = || Ok((std::time::Instant::now() >= end).then_some(()));
    patience.wait("have some history", Duration::from_secs(seconds + 10), is_over)?;
    show(&mut agent)?;
    drop(programs);
    agent.stop()
}

/// The groups as if they were at the top: what this machine calls the group above them is nobody's business.
fn without_parent(picture: &str, parent: &Path) -> String {
    // What memtrace shows begins somewhere below the mount point.
    let below = parent.ancestors().collect::<Vec<_>>().into_iter().rev();
    let mut shown =
        below.filter_map(|above| parent.strip_prefix(above).ok()).map(|rest| format!("/{}/", rest.display()));
    match shown.find(|shown| shown.len() > 2 && picture.contains(shown.as_str())) {
        Some(shown) => picture.replace(&shown, "/"),
        None => picture.to_owned(),
    }
}

fn start(role: &Role, cgroup: &Cgroup) -> Result<Program> {
    let xtask = env::current_exe().context("failed to find our own program")?;
    let mut command = Command::new(xtask);
    command.args(["grow", "--give-up-mib", "4096", "--name", role.name]);
    command.args(["--hold-mib", &role.hold_mib.to_string(), "--pace-ms", &role.pace_ms.to_string()]);
    command.arg("--procs").arg(cgroup.procs());
    Ok(Program(command.spawn().context("failed to start a program")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_above_stay_out_of_the_picture() {
        let parent = Path::new("/sys/fs/cgroup/memory/api/7f");
        assert_eq!(without_parent("a /api/7f/cart.service b", parent), "a /cart.service b");
        assert_eq!(without_parent("/cart.service", parent), "/cart.service");
        assert_eq!(without_parent("/cart.service", Path::new("/sys/fs/cgroup")), "/cart.service");
    }
}
