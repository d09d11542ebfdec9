//! What the Rust workloads share: the protocol, and a store that grows and shrinks.
//!
//! Commands on standard input -> work -> answers on standard output. See ../README.md.

pub mod churn;

use std::{
    fmt,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
};

pub const MIB: usize = 1 << 20;

/// Reads commands to the end of input or `quit`; `work` says false to a command that it does not know.
pub fn serve(work: impl FnMut(&str, usize) -> io::Result<bool>) -> ExitCode {
    serve_with(work, &[])
}

/// A command that asks for a figure, and what answers it, given the command's number.
pub type Figure = (&'static str, fn(usize) -> Option<u64>);

/// The same; figures are asked for by name. Answers take nothing from the heap, and the line that is read is kept: from
/// one answer to the next the heap is the same.
pub fn serve_with(mut work: impl FnMut(&str, usize) -> io::Result<bool>, figures: &[Figure]) -> ExitCode {
    say(format_args!("ok ready"));
    let mut line = String::with_capacity(128);
    loop {
        line.clear();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(_) => {}
            Err(_) => return ExitCode::FAILURE,
        }
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let value = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        if name == "quit" {
            say(format_args!("ok quit"));
            return ExitCode::SUCCESS;
        }
        if let Some((name, figure)) = figures.iter().find(|(known, _)| *known == name) {
            match figure(value) {
                Some(figure) => say(format_args!("ok {name} {figure}")),
                None => say(format_args!("error failed to tell {name}")),
            }
            continue;
        }
        match if name == "hold" { Ok(true) } else { work(name, value) } {
            Ok(true) => say(format_args!("ok {name} {value}")),
            Ok(false) => say(format_args!("error unknown command {name}")),
            Err(error) => say(format_args!("error failed to {name}: {error}")),
        }
    }
}

fn say(text: fmt::Arguments) {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}

/// Blocks of memory.
#[derive(Default)]
pub struct Store {
    blocks: Vec<Vec<u8>>,
    random: u64,
}

impl Store {
    /// Three quarters in blocks of 32 to 2079 bytes, one quarter in blocks of 512 KiB.
    pub fn grow(&mut self, bytes: usize) {
        let mut done = 0;
        while done < bytes / 4 * 3 {
            self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let size = 32 + (self.random >> 33) as usize % 2048;
            self.grow_block(size);
            done += size;
        }
        while done < bytes {
            self.grow_block(512 << 10);
            done += 512 << 10;
        }
    }

    /// The function that grows: the tests look for its name in stacks.
    #[inline(never)]
    pub fn grow_block(&mut self, size: usize) {
        self.blocks.push(vec![0x5a; size]);
    }

    /// Frees so many of a hundred blocks, spread evenly.
    pub fn release(&mut self, percent: usize) {
        let mut seen = 0;
        self.blocks.retain(|_| {
            seen += percent;
            let is_kept = seen < 100;
            seen %= 100;
            is_kept
        });
    }

    /// The two commands that every store knows.
    pub fn work(&mut self, name: &str, value: usize) -> io::Result<bool> {
        match name {
            "grow" => self.grow(value * MIB),
            "free" => self.release(value.min(100)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
