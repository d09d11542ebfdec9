//! Forks: children share what the parent holds until they write to it.
//!
//! `fork N` starts N children, `touch N` has each of them write to N MiB of the inherited memory, `reap` ends them.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    process::ExitCode,
};

use programs::{MIB, serve};

struct Child {
    pid: i32,
    commands: UnixStream,
}

fn main() -> ExitCode {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut children: Vec<Child> = Vec::new();
    serve(|name, value| {
        match name {
            "grow" => blocks.extend((0..value).map(|_| vec![1; MIB])),
            "free" => blocks.truncate(blocks.len() * 100_usize.saturating_sub(value) / 100),
            "fork" => {
                for _ in 0..value {
                    let child = fork(&mut blocks, &mut children)?;
                    children.push(child);
                }
            }
            "touch" => {
                for child in &mut children {
                    child.commands.write_all(&(value as u32).to_le_bytes())?;
                    child.commands.read_exact(&mut [0])?;
                }
            }
            // A fork that ends at once, many times over.
            "churn" => {
                for _ in 0..value {
                    reap(fork(&mut blocks, &mut children)?);
                }
            }
            "reap" => children.drain(..).for_each(reap),
            _ => return Ok(false),
        }
        Ok(true)
    })
}

fn fork(blocks: &mut [Vec<u8>], siblings: &mut Vec<Child>) -> io::Result<Child> {
    let (commands, mut theirs) = UnixStream::pair()?;
    // SAFETY: one thread; the child only reads, writes and ends.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid > 0 {
        return Ok(Child { pid, commands });
    }
    // Else the siblings would not see the parent close them.
    siblings.clear();
    drop(commands);
    let mut word = [0; 4];
    while theirs.read_exact(&mut word).is_ok() {
        let count = u32::from_le_bytes(word) as usize;
        blocks.iter_mut().take(count).for_each(|block| block.fill(2));
        if theirs.write_all(&[1]).is_err() {
            break;
        }
    }
    // SAFETY: ends this process, without the parent's exit handlers.
    unsafe { libc::_exit(0) }
}

/// The closed socket tells the child to end.
fn reap(child: Child) {
    drop(child.commands);
    // SAFETY: a child of ours, waited for once.
    unsafe { libc::waitpid(child.pid, std::ptr::null_mut(), 0) };
}
