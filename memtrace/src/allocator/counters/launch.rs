//! What a program was told when it started: arguments and environment variables whose names are on a list.
//!
//! Input: the top of the main stack, where the kernel puts both (`fs/exec.c`, `fs/binfmt_elf.c`). Output: numbers and
//! sizes, for names that a reader asks for. Nothing else of a command line or an environment is kept: a value that does
//! not look like a number or a size is not given, so that no secret leaves through a name on the list.
//!
//! A program may overwrite both, and many servers do so for their title; then there is no answer. An argument `NAME=...`
//! at the end of a command line passes for a variable.

use super::Target;
use crate::mm::region::Backing;

pub mod server;

/// The most bytes that are read. A larger environment hides the arguments below it.
const MOST: u64 = 128 << 10;
/// The longest value.
const LONGEST: usize = 24;

/// The strings at the top of a stack.
pub struct Launch {
    bytes: Vec<u8>,
}

impl Launch {
    /// Reads them; `None` when they are not resident.
    pub fn read(target: &mut Target<'_>) -> Option<Self> {
        let stack = target.regions.iter().rfind(|region| region.backing == Backing::Stack)?;
        let (start, end) = (stack.start.max(stack.end.saturating_sub(MOST)), stack.end);
        let (from, to) = target.image.present(start, end).into_iter().next_back()?;
        let mut bytes = vec![0; usize::try_from(to.checked_sub(from)?).ok()?];
        (to == end && target.image.read(from, &mut bytes)).then_some(Self { bytes })
    }

    /// The strings: arguments, environment, and the path of the program at the end.
    fn words(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let end = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.bytes.get(..end).unwrap_or_default().split(|byte| *byte == 0)
    }

    /// The value of an environment variable. Of the words before the program's path, the last ones that have the form
    /// `NAME=...` are the environment.
    fn variable(&self, name: &str) -> Option<&[u8]> {
        let environment = self.words().rev().skip(1).take_while(|word| is_assignment(word));
        environment.filter_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).last()
    }

    /// The arguments, last first.
    fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.words().rev().skip(1).skip_while(|word| is_assignment(word))
    }

    /// The number or size in an environment variable.
    pub fn variable_size(&self, name: &str) -> Option<String> {
        plain(self.variable(name)?)
    }

    /// The number or size in `NAME=...`, where a variable holds several arguments. The last one counts.
    pub fn variable_argument(&self, variable: &str, name: &str) -> Option<String> {
        let mut words = self.variable(variable)?.split(u8::is_ascii_whitespace).rev();
        words.find_map(|word| assigned(word, name)).and_then(plain)
    }

    /// Whether an argument is the path of this program, as that of a script is.
    pub fn runs(&self, program: &str) -> bool {
        self.arguments().any(|word| word.rsplit(|byte| *byte == b'/').next() == Some(program.as_bytes()))
    }

    /// The number or size in an argument `NAME=...`. The last one counts.
    pub fn argument(&self, name: &str) -> Option<String> {
        self.arguments().find_map(|word| assigned(word, name)).and_then(plain)
    }

    /// The number or size in the argument after `NAME`. The last one counts.
    pub fn argument_after(&self, name: &str) -> Option<String> {
        let mut after: &[u8] = &[];
        for word in self.arguments() {
            if word == name.as_bytes() {
                return plain(after);
            }
            after = word;
        }
        None
    }

    /// The number or size in `NAME=...` after the argument `BEFORE`: `-c NAME=...`. The last one counts.
    pub fn assignment_after(&self, before: &str, name: &str) -> Option<String> {
        let mut after: &[u8] = &[];
        for word in self.words().rev() {
            let value = assigned(after, name).filter(|_| word == before.as_bytes());
            if let Some(value) = value {
                return plain(value);
            }
            after = word;
        }
        None
    }
}

/// Whether it has the form `NAME=...`, like a variable, and is not an option.
fn is_assignment(word: &[u8]) -> bool {
    let name = word.split(|byte| *byte == b'=').next().filter(|name| name.len() < word.len());
    let is_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
    name.is_some_and(|name| name.iter().all(is_name) && name.first().is_some_and(|first| *first != b'-'))
}

/// The value in `NAME=value`. V8 takes `_` and `-` for the same.
fn assigned<'a>(word: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (said, value) = word.split_at_checked(name.len())?;
    let alike = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let is_same = said.iter().map(|byte| alike(*byte)).eq(name.bytes().map(alike));
    value.strip_prefix(b"=").filter(|_| is_same)
}

/// A number or a size, and nothing else.
fn plain(value: &[u8]) -> Option<String> {
    let is_plain = value.first().is_some_and(u8::is_ascii_hexdigit)
        && value.len() <= LONGEST
        && value.iter().all(|byte| byte.is_ascii_hexdigit() || b"xXkKmMgGtTbB.%i".contains(byte));
    is_plain.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
pub mod fixture {
    use crate::{
        allocator::{
            counters::{Absent, CounterReader, Counters, Target},
            evidence::ProcessEvidence,
            image::fake::{Fake, NO_FILES},
        },
        mm::region::{Backing, Prot, Region},
    };

    /// The first address after the stack.
    const END: u64 = 0x7fff_0000_0000;

    /// The stack of a program with these arguments and variables, as the kernel makes it.
    fn stack(arguments: &[&str], environment: &[&str]) -> Vec<u8> {
        let mut bytes = b"\x9f\0\x17random\0x86_64\0".to_vec();
        for word in arguments.iter().chain(environment).chain(&["/usr/bin/program"]) {
            bytes.extend(word.bytes());
            bytes.push(0);
        }
        bytes.extend([0; 8]);
        let room = bytes.len().next_multiple_of(4096);
        [vec![0; room - bytes.len()], bytes].concat()
    }

    /// Gives a target with that stack to a function.
    pub fn with<T>(arguments: &[&str], environment: &[&str], give: impl FnOnce(&mut Target<'_>) -> T) -> T {
        let bytes = stack(arguments, environment);
        let start = END - bytes.len() as u64;
        let mut image = Fake::default().with(start, bytes);
        let region = Region::new(start - 4096, END, Prot(Prot::READ | Prot::WRITE), Backing::Stack);
        let process = ProcessEvidence::default();
        give(&mut Target {
            image: &mut image,
            files: &NO_FILES,
            process: &process,
            regions: &[region],
            owned: &[],
        })
    }

    /// What a reader finds there.
    pub fn read(
        reader: &dyn CounterReader,
        arguments: &[&str],
        environment: &[&str],
    ) -> Result<Counters, Absent> {
        with(arguments, environment, |target| reader.read(target))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn launch<T>(arguments: &[&str], environment: &[&str], of: impl FnOnce(&Launch) -> T) -> T {
        fixture::with(arguments, environment, |target| of(&Launch::read(target).unwrap()))
    }

    #[test]
    fn the_last_of_an_argument_counts_in_each_form() {
        let arguments =
            ["redis-server", "--maxmemory", "1gb", "--maxmemory", "100mb", "--old_space=7", "--port"];
        launch(&arguments, &["PATH=/bin", "LANG="], |launch| {
            assert_eq!(launch.argument_after("--maxmemory").as_deref(), Some("100mb"));
            assert_eq!(launch.argument("--old-space").as_deref(), Some("7"));
            assert_eq!(launch.argument_after("--port"), None, "it has no value");
            assert_eq!(launch.argument("--old"), None);
        });
    }

    #[test]
    fn variables_are_not_arguments() {
        let environment = ["WEB_CONCURRENCY=4", "NODE_OPTIONS=--inspect --max-old-space-size=256"];
        launch(&["node", "-c", "size=3", "WORKERS=9", "a.js"], &environment, |launch| {
            assert_eq!(launch.variable_size("WEB_CONCURRENCY").as_deref(), Some("4"));
            assert_eq!(
                launch.variable_argument("NODE_OPTIONS", "--max-old-space-size").as_deref(),
                Some("256")
            );
            assert_eq!(launch.variable_size("WORKERS"), None);
            assert_eq!(launch.argument("--max-old-space-size"), None);
            assert_eq!(launch.assignment_after("-c", "size").as_deref(), Some("3"));
            assert_eq!(launch.assignment_after("-c", "WEB_CONCURRENCY"), None);
        });
    }

    #[test]
    fn what_is_no_size_is_not_given() {
        let secret = ["WEB_CONCURRENCY=hunter2", "LIMIT=0123456789012345678901234567890"];
        launch(&["a", "--workers=s3cret"], &secret, |launch| {
            assert_eq!(
                (launch.variable_size("WEB_CONCURRENCY"), launch.variable_size("LIMIT")),
                (None, None)
            );
            assert_eq!(launch.argument("--workers"), None);
        });
    }

    proptest! {
        #[test]
        fn any_stack_is_read(bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(b'='), any::<u8>()], 0..300)) {
            let launch = Launch { bytes };
            for value in [launch.argument("--a"), launch.variable_size("A"), launch.argument_after("-w")] {
                prop_assert!(value.is_none_or(|value| value.len() <= LONGEST));
            }
        }
    }
}
