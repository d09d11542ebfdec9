//! Shared memory: a quarter each in shared anonymous memory, a memfd, SysV segments, and unmapped tmpfs files.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{FromRawFd as _, OwnedFd},
    process::ExitCode,
    ptr, slice,
};

use programs::{MIB, serve};

enum Piece {
    Mapped(*mut libc::c_void, #[expect(dead_code, reason = "held open")] Option<OwnedFd>),
    SysV(*mut libc::c_void),
    Tmpfs(String),
}

impl Drop for Piece {
    fn drop(&mut self) {
        match self {
            // SAFETY: a mapping of ours, unmapped once.
            Self::Mapped(address, _) => drop(unsafe { libc::munmap(*address, MIB) }),
            // SAFETY: a segment of ours, detached once; it is marked to go with its last user.
            Self::SysV(address) => drop(unsafe { libc::shmdt(*address) }),
            Self::Tmpfs(path) => drop(fs::remove_file(path)),
        }
    }
}

fn main() -> ExitCode {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut made = 0_usize;
    serve(|name, value| {
        match name {
            "grow" => {
                for _ in 0..value {
                    pieces.push(piece(made)?);
                    made += 1;
                }
            }
            "free" => pieces.truncate(pieces.len() * 100_usize.saturating_sub(value) / 100),
            _ => return Ok(false),
        }
        Ok(true)
    })
}

fn piece(number: usize) -> io::Result<Piece> {
    match number % 4 {
        0 => Ok(Piece::Mapped(map(-1, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?, None)),
        1 => {
            // SAFETY: the name ends with a zero.
            let fd = unsafe { libc::memfd_create(c"workload".as_ptr(), 0) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: a descriptor that is new and ours.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            let file = File::from(fd.try_clone()?);
            file.set_len(MIB as u64)?;
            Ok(Piece::Mapped(map(std::os::fd::AsRawFd::as_raw_fd(&fd), libc::MAP_SHARED)?, Some(fd)))
        }
        2 => sysv(),
        _ => {
            let path = format!("/dev/shm/memtrace-workload-{}-{number}", std::process::id());
            File::create(&path)?.write_all(&vec![1; MIB])?;
            Ok(Piece::Tmpfs(path))
        }
    }
}

fn map(fd: i32, flags: i32) -> io::Result<*mut libc::c_void> {
    // SAFETY: a new mapping at an address that the kernel chooses.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), MIB, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    touch(address);
    Ok(address)
}

fn sysv() -> io::Result<Piece> {
    // SAFETY: plain system calls; the segment goes away with its last user.
    let address = unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, MIB, libc::IPC_CREAT | 0o600);
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        let address = libc::shmat(id, ptr::null(), 0);
        libc::shmctl(id, libc::IPC_RMID, ptr::null_mut());
        address
    };
    if address as isize == -1 {
        return Err(io::Error::last_os_error());
    }
    touch(address);
    Ok(Piece::SysV(address))
}

fn touch(address: *mut libc::c_void) {
    // SAFETY: MIB bytes at the address are ours and writable.
    unsafe { slice::from_raw_parts_mut(address.cast::<u8>(), MIB) }.fill(1);
}
