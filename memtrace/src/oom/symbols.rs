//! Names of kernel functions, from /proc/kallsyms.
//!
//! Input: addresses of a kernel stack. Output: names, `None` for unknown addresses. The kernel has more than 100,000
//! symbols, which take megabytes, and the stacks of OOM kills have some dozen functions: the list is read when a function
//! is seen for the first time, which takes some 50 ms, and only that function is kept.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    ops::Range,
    path::{Path, PathBuf},
};

/// The most functions that are kept; above that the list begins anew.
const MOST: usize = 1024;
/// Bytes that are read at a time.
const BUFFER: usize = 32 << 10;

/// A source of names for kernel addresses.
pub trait KernelSymbols {
    /// The function of each address.
    fn names(&self, addresses: &[u64]) -> Vec<Option<String>>;
}

/// A function: its addresses, and its name.
type Function = (Range<u64>, String);

/// The running kernel's symbols.
#[derive(Debug)]
pub struct Kallsyms {
    path: PathBuf,
    /// By their start: the end, and the name.
    known: RefCell<BTreeMap<u64, (u64, String)>>,
}

impl Default for Kallsyms {
    fn default() -> Self {
        Self::new(Path::new("/proc"))
    }
}

impl Kallsyms {
    /// The symbols of this /proc.
    pub fn new(proc: &Path) -> Self {
        Self { path: proc.join("kallsyms"), known: RefCell::default() }
    }

    fn known(&self, address: u64) -> Option<String> {
        let known = self.known.borrow();
        let (_, (end, name)) = known.range(..=address).next_back()?;
        (address < *end).then(|| name.clone())
    }
}

impl KernelSymbols for Kallsyms {
    fn names(&self, addresses: &[u64]) -> Vec<Option<String>> {
        let new: Vec<u64> =
            addresses.iter().copied().filter(|address| self.known(*address).is_none()).collect();
        if !new.is_empty() {
            let file = File::open(&self.path).map(|file| BufReader::with_capacity(BUFFER, file));
            match file.and_then(|lines| look_up(lines, &new)) {
                Ok(found) => {
                    let mut known = self.known.borrow_mut();
                    if known.len() + found.len() > MOST {
                        known.clear();
                    }
                    known.extend(found.into_iter().map(|(range, name)| (range.start, (range.end, name))));
                }
                Err(error) => tracing::warn!(%error, "failed to resolve kernel addresses"),
            }
        }
        addresses.iter().map(|address| self.known(*address)).collect()
    }
}

/// The functions of these addresses, from lines in any order:
/// `ffffffff8149a110 t mem_cgroup_out_of_memory`, with a tab and `[module]` behind those of modules.
fn look_up(mut lines: impl BufRead, addresses: &[u64]) -> io::Result<Vec<Function>> {
    let mut found: Vec<(u64, Function)> =
        addresses.iter().map(|address| (*address, (0..u64::MAX, String::new()))).collect();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        // Without permission all addresses are 0.
        if let Some((start, name)) = function(&line).filter(|(start, _)| *start > 0) {
            for (address, (range, known)) in &mut found {
                if start > *address {
                    range.end = range.end.min(start);
                } else if start > range.start {
                    range.start = start;
                    known.clear();
                    known.push_str(name);
                }
            }
        }
        line.clear();
    }
    Ok(found.into_iter().map(|(_, function)| function).filter(|(range, _)| range.start > 0).collect())
}

/// The address and name of a function; `None` for other symbols.
fn function(line: &[u8]) -> Option<(u64, &str)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let start = u64::from_str_radix(words.next()?, 16).ok()?;
    let is_text = matches!(words.next()?, "t" | "T" | "w" | "W");
    words.next().filter(|_| is_text).map(|name| (start, name))
}

#[cfg(test)]
mod tests {
    use super::{Kallsyms, KernelSymbols};

    /// An address in kallsyms must get its name; without permission kallsyms shows zeros, and there are no names.
    #[test]
    fn kernel_functions_have_their_names() {
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
        let line = text.lines().find(|line| {
            line.ends_with(" T mem_cgroup_out_of_memory") || line.ends_with(" t mem_cgroup_out_of_memory")
        });
        let address =
            line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok()).unwrap_or(0);
        let names = Kallsyms::default().names(&[address + 8]);
        let expected = (address != 0).then(|| "mem_cgroup_out_of_memory".to_owned());
        assert_eq!(names, [expected]);
    }

    #[test]
    fn the_function_that_begins_last_before_an_address_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("kallsyms");
        let text = "0000000000000000 T none\nff30 t third\t[module]\nff10 T first\nff18 D data\nff20 W second\nodd\n";
        std::fs::write(&list, text).unwrap();
        let symbols = Kallsyms::new(dir.path());
        let names = |addresses: &[u64]| -> Vec<Option<String>> { symbols.names(addresses) };
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(
            names(&[0xff1f, 0xff30, 0xff0f, 0xff20]),
            [name("first"), name("third"), None, name("second")]
        );
        // What is known needs no list; the next function does.
        std::fs::write(&list, "ff11 T other\n").unwrap();
        assert_eq!(names(&[0xff10, 0xff2f, 8]), [name("first"), name("second"), None]);
        std::fs::remove_file(&list).unwrap();
        assert_eq!(names(&[0xff21, 7]), [name("second"), None]);
    }
}
