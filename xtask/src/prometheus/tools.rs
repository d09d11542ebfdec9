//! prometheus and promtool: this machine's, or Debian's.
//!
//! PATH or the mirror -> two programs. Must not install a package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use xtask_base::{packages, process, workspace::Workspace};

/// The two programs.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) prometheus: PathBuf,
    pub(crate) promtool: PathBuf,
}

const PACKAGE: &str = "prometheus";

impl Tools {
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        if let (Some(prometheus), Some(promtool)) = (process::find("prometheus"), process::find("promtool")) {
            return Ok(Self { prometheus, promtool });
        }
        let home = workspace.tools().join("prometheus");
        let tools =
            Self { prometheus: home.join("usr/bin/prometheus"), promtool: home.join("usr/bin/promtool") };
        if !process::is_executable(&tools.promtool) || !process::is_executable(&tools.prometheus) {
            let unpacked = unpack(&home);
            unpacked.context("failed to get Debian's prometheus; install prometheus and promtool by hand")?;
        }
        Ok(tools)
    }
}

/// The package alone: its programs are Go's and need the C library at most.
fn unpack(home: &Path) -> Result<()> {
    println!("getting {PACKAGE} from Debian's mirror, without installing it");
    let dir = tempfile::tempdir().context("failed to create a directory for the package")?;
    packages::download("bookworm", PACKAGE, dir.path())?;
    let mut found = fs::read_dir(dir.path()).context("failed to list the package")?.flatten();
    let Some(archive) = found.next().map(|entry| entry.path()) else { bail!("nothing was downloaded") };
    fs::create_dir_all(home).with_context(|| format!("failed to create {}", home.display()))?;
    process::capture(Command::new("dpkg-deb").arg("-x").arg(archive).arg(home)).map(|_| ())
}
