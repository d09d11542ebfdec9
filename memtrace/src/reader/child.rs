//! The side of a reader process: answers one question after another, until the stream ends.
//!
//! A stream from the core -> answers on it. It may die at any moment, by a file that is cut short or by the core, and
//! takes nothing with it. Must not keep anything that the core needs.

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

/// Without a question for so long, all that is kept for the next is let go.
const KEPT: Duration = Duration::from_secs(60);

/// Gives up what is not needed, and answers what comes on this descriptor.
///
/// # Errors
/// When it is no socket, or the kernel refuses a part of the sandbox.
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

/// Waits for the next question; false when there is none for a while.
fn is_asked(stream: &UnixStream) -> io::Result<bool> {
    use rustix::net::{RecvFlags, recv};
    match recv(stream, &mut [0_u8; 1][..], RecvFlags::PEEK) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
