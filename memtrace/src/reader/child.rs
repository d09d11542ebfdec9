//! The main loop of a reader process: answers requests until the stream ends.
//!
//! Requests on a stream -> answers on it. The process may crash at any time, for example with SIGBUS when a mapped file is
//! truncated, or be killed by the daemon. Must not hold state that the daemon needs.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use super::{
    Local, Reader as _,
    protocol::{Answer, Ask, receive, send},
    sandbox,
};
use crate::mm::procfs::Procfs;

/// The caches are dropped after so long without a request.
const KEPT: Duration = Duration::from_secs(60);

/// Enters the sandbox, and answers the requests on this socket.
///
/// # Errors
/// When it is not a socket, or the kernel rejects a part of the sandbox.
pub fn serve(stream: impl AsFd, proc: &str) -> io::Result<()> {
    let mut stream = UnixStream::from(stream.as_fd().try_clone_to_owned()?);
    sandbox::enter(&stream)?;
    let new = || Local::new(Procfs::new(proc));
    let mut local = new();
    loop {
        stream.set_read_timeout(Some(KEPT))?;
        if !is_asked(&stream)? {
            local = new();
            stream.set_read_timeout(None)?;
        }
        let Ok(ask) = receive(&mut stream) else { return Ok(()) };
        sandbox::grant_time()?;
        let answer = match ask {
            Ask::Mounts(pid) => Answer::Mounts(local.mounts(pid).ok()),
            Ask::HasThread(pid, names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Answer::HasThread(local.has_thread(pid, &names).unwrap_or_default())
            }
            Ask::Names(_, places) => Answer::Names(local.names(places)),
        };
        if send(&mut stream, &answer).is_err() {
            return Ok(());
        }
    }
}

/// Waits for the next request; false after [`KEPT`] without one.
fn is_asked(stream: &UnixStream) -> io::Result<bool> {
    use rustix::net::{RecvFlags, recv};
    match recv(stream, &mut [0_u8; 1][..], RecvFlags::PEEK) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
