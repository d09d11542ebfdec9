//! A scope of the user's systemd, where nothing else may be used: it delegates the memory controller.
//!
//! This process -> the same command line below `systemd-run --user --scope`. Stdin, stdout, the terminal and the pid stay.

use std::{env, fs, os::unix::process::CommandExt as _, path::Path, process::Command};

/// Set in the scope, so that it is tried once.
const INSIDE: &str = "MEMTRACE_RUN_IN_SCOPE";

/// Starts this program anew in a scope; returns when there is no manager that could make one.
pub fn enter() {
    let manager = env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("systemd/private"));
    let has_manager = manager.is_some_and(|socket| fs::metadata(socket).is_ok());
    let is_unified = fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    if env::var_os(INSIDE).is_some() || !has_manager || !is_unified {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    // It returns only when it fails; then what is missing is told as if it had not been tried.
    let _ = Command::new("systemd-run")
        .args(["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"])
        .arg(program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
}
