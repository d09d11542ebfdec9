//! Where an export goes: stdout, or a file that is complete or not there.
//!
//! A path and a function that writes -> the bytes there. A new file takes the name at the end, when it is whole and on
//! disk. Must not interpret the bytes.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;

use crate::cli::Failure;

/// Names in records are not for everybody.
const MODE: u32 = 0o640;

/// Output.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// File to write, or - for stdout. The file is written anew, and takes its name when it is complete.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

impl OutputArgs {
    /// Whether it is stdout.
    pub(in crate::cli) fn is_stdout(&self) -> bool {
        self.out == Path::new("-")
    }

    /// Writes there what `write` writes.
    ///
    /// # Errors
    /// Those of `write`, and when the output cannot be written; then an old file is as it was.
    pub(in crate::cli) fn fill(
        &self,
        stdout: &mut dyn Write,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.is_stdout() {
            let mut out = BufWriter::new(stdout);
            write(&mut out)?;
            return Ok(out.flush()?);
        }
        // A link stays a link to what is written.
        let path = fs::canonicalize(&self.out).unwrap_or_else(|_| self.out.clone());
        match fs::metadata(&path) {
            Ok(data) if data.is_dir() => {
                Err(Failure::Usage(anyhow!("{} is a directory: name a file in it", path.display())))
            }
            // A pipe or a device cannot be replaced.
            Ok(data) if !data.is_file() => {
                let file = OpenOptions::new().write(true).open(&path);
                let mut out = BufWriter::new(file.map_err(|error| failed("open", &path, error))?);
                write(&mut out)?;
                out.flush().map_err(|error| failed("write", &path, error))
            }
            _ => replace(&path, write),
        }
    }
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = tempfile::Builder::new()
        .prefix(".memtrace-export-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(directory)
        .map_err(|error| failed("create a file in", directory, error))?;
    let mut out = BufWriter::new(new);
    write(&mut out)?;
    let new = out.into_inner().map_err(|error| failed("write", path, error.into_error()))?;
    new.as_file().sync_all().map_err(|error| failed("write", path, error))?;
    new.persist(path).map_err(|error| failed("write", path, error.error))?;
    Ok(())
}

fn failed(action: &str, path: &Path, error: io::Error) -> Failure {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let error = anyhow::Error::new(error).context(format!("failed to {action} {}", path.display()));
    if denied { Failure::NotPermitted(error) } else { Failure::Failed(error) }
}
