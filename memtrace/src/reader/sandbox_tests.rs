//! What a process in the sandbox can do. It is this test program again, because nobody leaves the sandbox.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    process::{Command, exit},
    ptr::null_mut,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use super::*;

/// The file that the process in the sandbox is to change.
const FILE: &str = "MEMTRACE_SANDBOX_TEST_FILE";
const TEXT: &str = "as it was";
/// The exit code when all holds, which is not that of a test program that runs no test.
const HELD: i32 = 100;

#[test]
#[expect(clippy::exit, reason = "the process in the sandbox cannot say anything else")]
fn a_reader_that_was_taken_over_reads_and_answers_and_nothing_else() {
    let Some(path) = env::var_os(FILE) else { return from_outside() };
    let (answers, _other) = UnixStream::pair().unwrap();
    // It could not get this one in the sandbox.
    let writable = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let readable = File::open(&path).unwrap();
    enter(&answers).unwrap();
    // It cannot write to its standard output: the exit code is the number of what did not hold.
    let is_refused = |error: io::Result<File>| error.is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    let how = |flags| openat2(CWD, &path, flags, Mode::empty(), ResolveFlags::empty());
    let tries = [
        fs::read_to_string(&path).is_ok_and(|text| text == TEXT),
        map(&readable, libc::MAP_PRIVATE, libc::PROT_READ | libc::PROT_WRITE).is_ok(),
        map(&readable, libc::MAP_SHARED, libc::PROT_READ)
            .is_ok_and(|at| protect(at, libc::PROT_WRITE) == Err(libc::EACCES)),
        is_refused(OpenOptions::new().write(true).open(&path)),
        how(OFlags::RDWR).err() == Some(Errno::PERM),
        how(OFlags::RDONLY | OFlags::TRUNC).err() == Some(Errno::PERM),
        map(&writable, libc::MAP_SHARED, libc::PROT_READ | libc::PROT_WRITE) == Err(libc::EPERM),
        map(&writable, libc::MAP_SHARED_VALIDATE, libc::PROT_READ | libc::PROT_WRITE) == Err(libc::EPERM),
        map(&readable, libc::MAP_PRIVATE, libc::PROT_READ | libc::PROT_EXEC) == Err(libc::EPERM),
        map(&readable, libc::MAP_PRIVATE, libc::PROT_READ)
            .is_ok_and(|at| protect(at, libc::PROT_READ | libc::PROT_EXEC) == Err(libc::EPERM)),
        close(STDERR) == Err(libc::EPERM),
        close(answers.as_raw_fd()) == Err(libc::EPERM),
        close(readable.as_raw_fd()) == Ok(0),
        writable.set_len(0).is_err(),
        std::os::unix::fs::FileExt::write_all_at(&writable, b"changed", 0).is_err(),
        UnixStream::pair().is_err(),
        answers.set_read_timeout(Some(Duration::from_secs(1))).is_ok(),
        grant_time().is_ok(),
    ];
    exit(tries.iter().position(|held| !held).map_or(HELD, |at| i32::try_from(at).unwrap() + 1));
}

fn from_outside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, TEXT).unwrap();
    let name = "reader::sandbox::tests::a_reader_that_was_taken_over_reads_and_answers_and_nothing_else";
    let mut inside = Command::new(env::current_exe().unwrap());
    let inside =
        inside.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(FILE, &path).output().unwrap();
    assert_eq!(inside.status.code(), Some(HELD), "the number of what did not hold; {inside:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
}

fn result(value: libc::c_long) -> Result<libc::c_long, i32> {
    if value == -1 { Err(io::Error::last_os_error().raw_os_error().unwrap()) } else { Ok(value) }
}

fn map(file: &File, kind: i32, protection: i32) -> Result<libc::c_long, i32> {
    let [kind, protection, file] = [kind, protection, file.as_raw_fd()].map(libc::c_long::from);
    // SAFETY: a new map, which nobody uses.
    result(unsafe {
        libc::syscall(libc::SYS_mmap, null_mut::<u8>(), 1_usize, protection, kind, file, 0_usize)
    })
}

fn protect(at: libc::c_long, protection: i32) -> Result<libc::c_long, i32> {
    // SAFETY: a map that nobody uses.
    result(unsafe { libc::syscall(libc::SYS_mprotect, at, 1_usize, libc::c_long::from(protection)) })
}

fn close(file: i32) -> Result<libc::c_long, i32> {
    // SAFETY: the process ends before anybody uses the descriptor again.
    result(unsafe { libc::syscall(libc::SYS_close, libc::c_long::from(file)) })
}
