//! Names of user-space code, looked up when somebody asks, and kept.
//!
//! Input: files as a process sees them, with offsets. Output: functions, Rust and C++ demangled; `None` where a file has
//! no symbols or cannot be read. Runs in a thread of its own, because files can be slow and large.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
};

use anyhow::Context as _;
use blazesym::symbolize::{
    Input, Symbolized, Symbolizer,
    source::{Elf, Source},
};

/// Names that are kept before all are forgotten.
const MOST_KEPT: usize = 1 << 16;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// A process that maps it: its root is where the path begins.
    pub pid: u32,
    /// Path as the process sees it.
    pub path: PathBuf,
    /// Offset in the file.
    pub offset: u64,
}

struct Question {
    places: Vec<Place>,
    answer: Sender<Vec<Option<String>>>,
}

/// A handle on the thread.
#[derive(Clone, Debug)]
pub struct Symbols {
    questions: Sender<Question>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("places", &self.places.len()).finish()
    }
}

impl Symbols {
    /// Starts the thread, which ends with the last handle.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(proc: &Path) -> anyhow::Result<Self> {
        let (questions, asked) = channel();
        let proc = proc.to_owned();
        std::thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || run(&proc, &asked))
            .context("failed to start the symbols thread")?;
        Ok(Self { questions })
    }

    /// The function of each place. Blocks until the thread has answered.
    pub fn names(&self, places: Vec<Place>) -> Vec<Option<String>> {
        let count = places.len();
        let (answer, answered) = channel();
        let sent = self.questions.send(Question { places, answer });
        match sent.is_ok().then(|| answered.recv()) {
            Some(Ok(names)) => names,
            _ => vec![None; count],
        }
    }
}

fn run(proc: &Path, asked: &Receiver<Question>) {
    let symbolizer = Symbolizer::new();
    let mut known: HashMap<(PathBuf, u64), Option<String>> = HashMap::new();
    while let Ok(Question { places, answer }) = asked.recv() {
        if known.len() > MOST_KEPT {
            known.clear();
        }
        let names = places
            .into_iter()
            .map(|Place { pid, path, offset }| {
                // Containers have files of one path and different contents, so the root is a part of the name.
                let below = path.strip_prefix("/").unwrap_or(&path);
                let readable = proc.join(pid.to_string()).join("root").join(below);
                let key = (std::fs::canonicalize(&readable).unwrap_or(readable), offset);
                known.entry(key).or_insert_with_key(|(path, offset)| name(&symbolizer, path, *offset)).clone()
            })
            .collect();
        // Whoever asked may have given up.
        let _ = answer.send(names);
    }
}

fn name(symbolizer: &Symbolizer, path: &Path, offset: u64) -> Option<String> {
    let source = Source::Elf(Elf::new(path));
    match symbolizer.symbolize_single(&source, Input::FileOffset(offset)).ok()? {
        Symbolized::Sym(symbol) => Some(crate::units::escape(symbol.name.as_bytes())),
        Symbolized::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Place, Symbols};

    /// This very function, found by its own address.
    #[test]
    fn a_function_of_this_program_has_its_name() {
        let address = a_function_of_this_program_has_its_name as *const () as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (path, offset) = maps
            .lines()
            .find_map(|line| {
                let mut words = line.split_whitespace();
                let (start, end) = words.next()?.split_once('-')?;
                let offset = number(words.nth(1)?);
                let path = words.nth(2)?;
                (number(start)..number(end))
                    .contains(&address)
                    .then(|| (path.to_owned(), address - number(start) + offset))
            })
            .unwrap();
        let symbols = Symbols::start(Path::new("/proc")).unwrap();
        let place = |path: &str| Place { pid: std::process::id(), path: path.into(), offset };
        let names = symbols.names(vec![place(&path), place("/no/such/file")]);
        assert!(names[0].as_ref().unwrap().contains("a_function_of_this_program_has_its_name"), "{names:?}");
        assert_eq!(names[1], None);
    }
}
