//! The main loop of a reader process: answers requests until the stream ends.
//!
//! Requests on a stream -> answers on it. The process may crash at any time, for example with SIGBUS when a mapped file is
//! truncated, or be killed by the daemon. Must not hold state that the daemon needs.

mod code;
mod jobs;

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use self::{code::CodeCache, jobs::Jobs};
use super::{
    Local, NotRead, Reader as _,
    protocol::{Answer, Ask, frame, receive},
    sandbox,
};
use crate::mm::procfs::Procfs;

/// The caches are dropped after so long without a request, and what was not used for so long is dropped.
const KEPT: Duration = Duration::from_secs(60);

/// Enters the sandbox, and answers the requests on this socket.
///
/// # Errors
/// When it is not a socket, or the kernel rejects a part of the sandbox.
pub fn serve(stream: impl AsFd, proc: &str) -> io::Result<()> {
    let mut stream = UnixStream::from(stream.as_fd().try_clone_to_owned()?);
    sandbox::enter(&stream)?;
    let mut server = Server::new(Procfs::new(proc));
    loop {
        stream.set_read_timeout(Some(KEPT))?;
        if !is_asked(&stream)? {
            server = Server::new(Procfs::new(proc));
            stream.set_read_timeout(None)?;
        }
        let Ok(ask) = receive(&mut stream) else { return Ok(()) };
        sandbox::grant_time()?;
        // The answer is not kept beside its frame.
        let answer = {
            let answer = server.answer(ask);
            frame(&answer).or_else(|| frame(&Answer::TooLarge))
        };
        let Some(answer) = answer else { return Ok(()) };
        if stream.write_all(&answer).is_err() {
            return Ok(());
        }
        server.rest();
    }
}

/// Answers requests, and remembers what is read again otherwise.
pub(super) struct Server {
    local: Local,
    jobs: Jobs,
    code: CodeCache,
    rested: Instant,
}

impl Server {
    pub(super) fn new(procfs: Procfs) -> Self {
        let (jobs, code) = (Jobs::default(), CodeCache::new());
        Self { local: Local::new(procfs), jobs, code, rested: Instant::now() }
    }

    pub(super) fn answer(&mut self, ask: Ask) -> Answer {
        let Self { local, jobs, code, .. } = self;
        match ask {
            Ask::Mounts(pid) => Answer::Mounts(local.mounts(pid).ok()),
            Ask::HasThread(pid, names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Answer::HasThread(local.has_thread(pid, &names).unwrap_or_default())
            }
            Ask::HugePages(pid) => Answer::HugePages(local.huge_pages(pid).ok()),
            Ask::Mapped(pid, files) => Answer::Mapped(local.mapped(pid, &files).ok()),
            Ask::Objects(pid) => match local.objects(pid) {
                Err(NotRead::TooLarge) => Answer::TooLarge,
                census => Answer::Objects(census.ok()),
            },
            Ask::Names(_, places) => Answer::Names(local.names(places)),
            Ask::Scan(pid, step) => Answer::Scan(jobs.step(local, pid, step)),
            Ask::Walk(pid, walk) => {
                let modules = match walk.modules {
                    None => None,
                    Some(known) => match code.of(known) {
                        Some(modules) => Some(modules),
                        None => return Answer::Walk(None),
                    },
                };
                let copies = walk.copies.into_iter().map(Into::into);
                Answer::Walk(Some(copies.map(|copy| local.walked(pid, &copy, modules.as_deref())).collect()))
            }
        }
    }

    /// Frees what was not used for a while.
    fn rest(&mut self) {
        if self.rested.elapsed() >= KEPT {
            self.local.rest();
            self.rested = Instant::now();
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
