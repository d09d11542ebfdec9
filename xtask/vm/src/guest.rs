//! What is in a guest besides its kernel.
//!
//! busybox, memtrace, vm/guest and vm/programs -> an archive to boot with. Must not differ between kernels but for
//! the plan.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{cpio::Archive, tools};
use xtask_base::{elf, process, workspace::Workspace};

/// Also what is mounted on; the kernel's own file systems bring the rest.
const DIRECTORIES: [&str; 9] = ["bin", "dev", "proc", "run", "sys", "tests", "tmp", "vm", "vm/scenarios"];

/// Every file but the plan, by its name in the guest.
#[derive(Debug)]
pub(crate) struct Guest {
    files: Vec<(String, Vec<u8>)>,
}

impl Guest {
    /// Reads and compiles what the guest needs.
    pub(crate) fn prepare(
        workspace: &Workspace,
        cache: &Path,
        memtrace: &Path,
        tests: &Path,
    ) -> Result<Self> {
        let source = workspace.root().join("vm");
        let binary = read(memtrace)?;
        if !elf::is_static(&binary)? {
            bail!("failed to use {}: it is not static, and the guest has no libc", memtrace.display());
        }
        let mut files = vec![
            ("bin/busybox".to_owned(), tools::busybox(cache)?),
            ("bin/memtrace".to_owned(), binary),
            ("bin/eat".to_owned(), compile(&source.join("programs/eat.c"), &workspace.target().join("vm"))?),
            ("init".to_owned(), read(&source.join("guest/init"))?),
            ("vm/lib.sh".to_owned(), read(&source.join("guest/lib.sh"))?),
        ];
        let programs = workspace.root().join("memtrace/tests/root/programs");
        for name in ["eat", "calls"] {
            let program = compile(&programs.join(format!("{name}.c")), &workspace.target().join("vm/tests"))?;
            files.push((format!("tests/{name}"), program));
        }
        let mut stripped = Command::new("strip");
        let to = workspace.target().join("vm/tests/root");
        process::capture(stripped.arg("-o").arg(&to).arg(tests))?;
        files.push(("tests/root".to_owned(), read(&to)?));
        let scenarios = source.join("guest/scenarios");
        let entries =
            fs::read_dir(&scenarios).with_context(|| format!("failed to read {}", scenarios.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read {}", scenarios.display()))?;
            files.push((
                format!("vm/scenarios/{}", entry.file_name().to_string_lossy()),
                read(&entry.path())?,
            ));
        }
        files.sort();
        Ok(Self { files })
    }

    /// The archive of a guest that does this.
    pub(crate) fn archive(&self, plan: &str) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for directory in DIRECTORIES {
            archive.directory(directory)?;
        }
        for (name, content) in &self.files {
            archive.program(name, content)?;
        }
        archive.program("vm/plan", plan.as_bytes())?;
        archive.finish()
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("failed to read {}", file.display()))
}

fn compile(source: &Path, dir: &Path) -> Result<Vec<u8>> {
    fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    let program = dir.join(source.file_stem().context("failed to name the program")?);
    let mut cc = Command::new("cc");
    cc.args(["-static", "-O1", "-pthread", "-Wall", "-Wextra", "-o"]).arg(&program).arg(source);
    process::capture(&mut cc)?;
    read(&program)
}
