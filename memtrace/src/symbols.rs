//! Symbol names of user-space code, looked up on demand and cached.
//!
//! Input: files as a process sees them, with offsets. Output: functions, Rust and C++ demangled; `None` when a file has
//! no symbols or cannot be read. Runs in a thread of its own, because files can be slow and large.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::mpsc::{Sender, channel},
};

use crate::{
    elf::Head,
    foreign::{Root, path_of},
    health::Beat,
};
use anyhow::Context as _;
use blazesym::{
    helper::read_elf_build_id,
    symbolize::{
        Input, Symbolized, Symbolizer,
        source::{Elf, Source},
    },
};
use serde::{Deserialize, Serialize};

/// The most cached names; above that the cache is cleared.
const MOST_KEPT: usize = 1 << 14;
/// Directory of separate symbol files on Debian, Fedora and others, below a root.
const DEBUG_FILES: &str = "usr/lib/debug/.build-id";

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// A process that maps it; the path is relative to its root.
    pub pid: u32,
    /// Path as the process sees it.
    pub path: PathBuf,
    /// Offset in the file.
    pub offset: u64,
    /// Its inode, where the process is another one than the one that was seen: only this file has its names.
    pub inode: Option<u64>,
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
    pub fn start(
        mut look_up: impl FnMut(Vec<Place>) -> Vec<Option<String>> + Send + 'static,
        beat: Beat,
    ) -> anyhow::Result<Self> {
        let (questions, asked) = channel::<Question>();
        std::thread::Builder::new()
            .name("symbols".to_owned())
            .spawn(move || {
                while let Ok(Question { places, answer }) = beat.wait(|| asked.recv()) {
                    // The caller may have given up.
                    let _ = answer.send(look_up(places));
                }
            })
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

/// Identity of a file, independent of its path, because containers have different files with the same path. The time
/// detects a rewrite in place.
type Identity = (u64, u64, i64);

/// Looks up names, and caches them.
#[derive(Debug)]
pub struct Lookup {
    proc: PathBuf,
    known: HashMap<(Identity, u64), Option<String>>,
}

impl Lookup {
    /// An empty cache; files are read below the roots of the processes in this /proc.
    pub fn new(proc: &Path) -> Self {
        Self { proc: proc.to_owned(), known: HashMap::new() }
    }

    /// The function of each place.
    pub fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
        let Self { proc, known } = self;
        if known.len() > MOST_KEPT {
            known.clear();
        }
        let mut tables = Tables::default();
        let names = places.into_iter().map(|Place { pid, path, offset, inode }| {
            let program = tables.program(proc, pid, &path)?;
            if inode.is_some_and(|inode| inode != program.identity.1) {
                return None;
            }
            let name = known.entry((program.identity, offset));
            name.or_insert_with(|| tables.name(&program, offset)).clone()
        });
        names.collect()
    }
}

/// Symbol tables, held during one request: those of a large program have many MiB, and requests are rare.
#[derive(Default)]
struct Tables {
    symbolizer: Symbolizer,
    /// By pid; `None` when the process is gone.
    roots: HashMap<u32, Option<Rc<Root>>>,
    programs: HashMap<(u32, PathBuf), Option<Rc<Program>>>,
    /// Separate symbol files; `None` when there is none.
    apart: HashMap<Identity, Option<Rc<File>>>,
}

/// A file of a process, held open, so that every library reads the same file.
struct Program {
    file: File,
    root: Rc<Root>,
    identity: Identity,
}

impl Tables {
    fn program(&mut self, proc: &Path, pid: u32, path: &Path) -> Option<Rc<Program>> {
        let root = self.roots.entry(pid).or_insert_with(|| Root::of(proc, pid).ok().map(Rc::new)).clone()?;
        let known = self.programs.entry((pid, path.to_owned()));
        let open = || {
            let file = root.file(path).ok()?;
            let data = file.metadata().ok()?;
            let identity = (data.dev(), data.ino(), data.mtime());
            Some(Rc::new(Program { file, root, identity }))
        };
        known.or_insert_with(open).clone()
    }

    /// The name from the file itself, else from its separate symbol file.
    fn name(&mut self, program: &Program, offset: u64) -> Option<String> {
        self.look_up(&program.file, Input::FileOffset(offset)).or_else(|| {
            let apart = self.apart.entry(program.identity);
            let apart = apart.or_insert_with(|| symbols_apart(program).map(Rc::new)).clone();
            // A separate symbol file has the same addresses, but other offsets.
            self.look_up(&*apart?, Input::VirtOffset(Head::of(&program.file)?.address(offset)?))
        })
    }

    fn look_up(&self, file: &File, place: Input<u64>) -> Option<String> {
        let mut elf = Elf::new(path_of(file));
        // The symbol table is enough for the function; debug information would be many MiB.
        elf.debug_syms = false;
        match self.symbolizer.symbolize_single(&Source::Elf(elf), place).ok()? {
            Symbolized::Sym(symbol) => Some(crate::text::name(symbol.name.as_bytes())),
            Symbolized::Unknown(_) => None,
        }
    }
}

/// The symbol file of a stripped file, by build ID: in the process's root, else in ours.
fn symbols_apart(program: &Program) -> Option<File> {
    let id = read_elf_build_id(&path_of(&program.file)).ok()??;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = hex.split_at_checked(2)?;
    let below = PathBuf::from(format!("{DEBUG_FILES}/{first}/{rest}.debug"));
    program.root.file(&below).or_else(|_| File::open(Path::new("/").join(&below))).ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    use super::{Lookup, Place};

    /// Finds this function by its own address.
    #[test]
    fn a_function_of_this_program_has_its_name() {
        let address = a_function_of_this_program_has_its_name as *const () as u64;
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
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
        let mut symbols = Lookup::new(Path::new("/proc"));
        let place = |path: &str, inode| Place { pid: std::process::id(), path: path.into(), offset, inode };
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        let names = symbols.names(vec![
            place(&path, None),
            place("/no/such/file", None),
            place(&path, Some(inode)),
            place(&path, Some(inode + 1)),
        ]);
        assert!(names[0].as_ref().unwrap().contains("a_function_of_this_program_has_its_name"), "{names:?}");
        assert_eq!(names[2], names[0]);
        assert_eq!([&names[1], &names[3]], [&None, &None], "another file has other names");
    }
    fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
        assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
    }

    /// The layout of distributions, in a container's root.
    #[test]
    fn a_stripped_program_s_names_are_where_its_system_put_them() {
        let proc = tempfile::tempdir().unwrap();
        let root = proc.path().join("7/root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        let (whole, stripped) = (proc.path().join("whole"), root.join("usr/bin/grower"));
        let source = proc.path().join("grower.c");
        fs::write(
            &source,
            "__attribute__((noinline)) static int grow(int n) { return n * n; }\n\
            int main(int n, char **v) { (void)v; return grow(n); }\n",
        )
        .unwrap();
        run("cc", &["-Wl,--build-id".as_ref(), "-o".as_ref(), whole.as_ref(), source.as_ref()]);
        run("objcopy", &["--strip-all".as_ref(), whole.as_ref(), stripped.as_ref()]);

        let bytes = fs::read(&whole).unwrap();
        let elf = object::File::parse(&*bytes).unwrap();
        let grow = elf.symbols().find(|symbol| symbol.name() == Ok("grow")).unwrap();
        let text = elf.section_by_index(grow.section_index().unwrap()).unwrap();
        let offset = grow.address() - text.address() + text.file_range().unwrap().0;
        let place = || vec![Place { pid: 7, path: "/usr/bin/grower".into(), offset, inode: None }];
        let symbols = || Lookup::new(proc.path());
        assert_eq!(symbols().names(place()), [None]);

        let id =
            elf.build_id().unwrap().unwrap().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let directory = root.join("usr/lib/debug/.build-id").join(&id[..2]);
        fs::create_dir_all(&directory).unwrap();
        let apart = directory.join(format!("{}.debug", &id[2..]));
        run("objcopy", &["--only-keep-debug".as_ref(), whole.as_ref(), apart.as_ref()]);
        assert_eq!(symbols().names(place()), [Some("grow".to_owned())]);
    }
}
