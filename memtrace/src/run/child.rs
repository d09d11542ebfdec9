//! The command as a child of this process, in its cgroup from before its first instruction.
//!
//! A command, an entrance to a cgroup, a mask -> [`Running`]. Stdin, stdout, stderr, the terminal and the process group are
//! those of this process.
#![expect(unsafe_code, reason = "what runs between fork and exec has no safe form")]

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::signals::Mask;
use crate::sizing::run::End;

/// Stands for "the cgroup could not be entered" on the way from the child: neither fork nor exec fails with it.
const NOT_ENTERED: i32 = libc::ESTRPIPE;

/// Why a command was not run.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// There is no such command: 127.
    #[error("{0}: command not found")]
    NotFound(String),
    /// It is there and cannot be executed: 126.
    #[error("{0}: {1}")]
    NotExecutable(String, io::Error),
    /// It could not be put into its cgroup.
    #[error("failed to put the command into its cgroup: the kernel refused it")]
    NotEntered,
    /// It could not be started.
    #[error("failed to start the command")]
    Failed(#[source] io::Error),
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    handle: OwnedFd,
}

/// Starts it.
///
/// # Errors
/// See [`NotRun`].
pub fn start(command: &[OsString], entrance: &File, mask: Mask) -> Result<Running, NotRun> {
    let (program, arguments) = command.split_first().ok_or_else(|| NotRun::NotFound(String::new()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let entrance = entrance.as_raw_fd();
    let enter = move || {
        // SAFETY: write(2) may be called between fork and exec; the descriptor is open until the parent closes its own,
        // after spawn has returned, and the bytes are static.
        let written = unsafe { libc::write(entrance, b"0".as_ptr().cast(), 1) };
        if written != 1 {
            return Err(io::Error::from_raw_os_error(NOT_ENTERED));
        }
        mask.set()
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(enter) };
    let child = command.spawn().map_err(|error| {
        let name = program.to_string_lossy().into_owned();
        match error.raw_os_error() {
            Some(NOT_ENTERED) => NotRun::NotEntered,
            Some(libc::ENOENT | libc::ENOTDIR) => NotRun::NotFound(name),
            Some(
                libc::EACCES
                | libc::EPERM
                | libc::ENOEXEC
                | libc::EISDIR
                | libc::ELOOP
                | libc::ELIBBAD
                | libc::ETXTBSY
                | libc::E2BIG
                | libc::ENAMETOOLONG
                | libc::EINVAL,
            ) => NotRun::NotExecutable(name, error),
            _ => NotRun::Failed(error),
        }
    })?;
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(|error| {
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::KILL);
        NotRun::Failed(error.into())
    })?;
    Ok(Running { child, handle })
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Becomes readable when it ends.
    pub fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Sends it a signal; one that has ended needs none.
    pub fn send(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = pidfd_send_signal(&self.handle, signal);
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> io::Result<Option<End>> {
        Ok(self.child.try_wait()?.map(end))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that was waited for is gone, and both calls know that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        (None, signal) => End::Signalled(u8::try_from(signal.unwrap_or_default()).unwrap_or_default()),
    }
}
