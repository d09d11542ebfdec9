//! Maps a file: shared with `grow`, private and written to with `private`.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
    process::ExitCode,
    ptr, slice,
};

use programs::{MIB, serve};

struct Mapping {
    address: *mut libc::c_void,
    len: usize,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: a mapping of ours, unmapped once.
        unsafe { libc::munmap(self.address, self.len) };
    }
}

fn main() -> ExitCode {
    let path = env::temp_dir().join(format!("memtrace-workload-{}", std::process::id()));
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
    let Ok(file) = opened else { return ExitCode::FAILURE };
    fs::remove_file(&path).ok();
    let mut mappings = Vec::new();
    let mut size = 0;
    serve(|name, value| {
        let flags = match name {
            "grow" => libc::MAP_SHARED,
            "private" => libc::MAP_PRIVATE,
            "free" => {
                mappings.truncate(mappings.len() * 100_usize.saturating_sub(value) / 100);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        for _ in 0..value {
            file.set_len((size + MIB) as u64)?;
            mappings.push(map(&file, size, flags)?);
            size += MIB;
        }
        Ok(true)
    })
}

fn map(file: &File, offset: usize, flags: libc::c_int) -> io::Result<Mapping> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let address = unsafe { libc::mmap(ptr::null_mut(), MIB, prot, flags, file.as_raw_fd(), offset as i64) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: MIB bytes at the address are ours, and the file is that long.
    unsafe { slice::from_raw_parts_mut(address.cast::<u8>(), MIB) }.fill(1);
    Ok(Mapping { address, len: MIB })
}
