//! The signals of `memtrace run`: held back from this process, read, and passed on.
//!
//! Signals -> [`Received`]. The handlers stay as they are, so that the command inherits what this process inherited; only
//! the mask changes, and the command gets the mask from before.
#![expect(unsafe_code, reason = "masks and signalfd have no safe form in the crates that we have")]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr,
};

use crate::units::native;

/// Those that end or tell a program something, and come from outside. Not those of job control: a terminal stops this
/// process and the command together, as both are in one process group.
const HELD: [i32; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];
/// Size of a `signalfd_siginfo`, and where its fields are (signalfd(2)).
const RECORD: usize = 128;
const CODE_AT: usize = 8;

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub number: i32,
    /// Whether the kernel sent it, as a terminal does for its keys: then the command has it already.
    pub is_from_kernel: bool,
}

impl Received {
    /// Whether it asks to end.
    pub fn asks_to_end(self) -> bool {
        !matches!(self.number, libc::SIGUSR1 | libc::SIGUSR2)
    }
}

/// A mask of signals.
#[derive(Clone, Copy)]
pub struct Mask(libc::sigset_t);

impl Mask {
    /// Makes it the calling thread's own. Safe to call between fork and exec.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set(&self) -> io::Result<()> {
        // SAFETY: the mask is initialized, and the old one is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Holds the signals back until it is dropped; those that are left then take their usual effect.
pub struct Signals {
    queue: OwnedFd,
    before: Mask,
}

impl Signals {
    /// Begins. Before any thread is started, as threads inherit the mask.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hold() -> io::Result<Self> {
        let mut held = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initializes the set before the others use it; all numbers are signals, so neither fails.
        unsafe {
            libc::sigemptyset(held.as_mut_ptr());
            for signal in HELD {
                libc::sigaddset(held.as_mut_ptr(), signal);
            }
        }
        // SAFETY: the set is initialized, and the call fills the old mask when it succeeds.
        let status = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr()) };
        if status != 0 {
            return Err(io::Error::from_raw_os_error(status));
        }
        // SAFETY: the call above succeeded.
        let before = Mask(unsafe { before.assume_init() });
        // SAFETY: the set is initialized; -1 asks for a new descriptor.
        let queue = unsafe { libc::signalfd(-1, held.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if queue < 0 {
            let error = io::Error::last_os_error();
            before.set()?;
            return Err(error);
        }
        // SAFETY: the descriptor is new and nobody else's.
        let queue = unsafe { OwnedFd::from_raw_fd(queue) };
        Ok(Self { queue, before })
    }

    /// The mask that the command gets.
    pub fn inherited(&self) -> Mask {
        self.before
    }

    /// The next one that came.
    pub fn next(&self) -> Option<Received> {
        let mut record = [0; RECORD];
        let length = rustix::io::read(&self.queue, &mut record).ok()?;
        let record = record.get(..length)?;
        let number = i32::try_from(native::word(record, 0)?).ok()?;
        // SI_KERNEL, as an i32.
        let is_from_kernel = native::word(record, CODE_AT)? == libc::SI_KERNEL as u32;
        Some(Received { number, is_from_kernel })
    }

    /// The first of those that came which asks to end.
    pub fn end_asked(&self) -> Option<Received> {
        std::iter::from_fn(|| self.next()).find(|received| received.asks_to_end())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // It succeeded with the same arguments before.
        let _ = self.before.set();
    }
}

/// Ends this process by the signal that ended the command, so that a shell sees the same; returns when that signal does
/// not end it.
pub fn end_by(signal: u8) {
    let no_dump = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain system calls with initialized arguments. The process is about to end: no handler is missed.
    unsafe {
        // The command has left its dump.
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_dump);
        libc::signal(i32::from(signal), libc::SIG_DFL);
        libc::raise(i32::from(signal));
    }
}
