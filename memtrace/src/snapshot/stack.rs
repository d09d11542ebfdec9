//! The frames of call stacks that are the program's own code: what a person looks for first.
//!
//! Stacks -> the one to tell, and its frames. Pure. Only names are known here: of the file, and of the function.

use super::{GrowthStack, UserFrame};
use crate::units::Bytes;

mod library;

/// Files of allocators, of the C and C++ libraries, of the loader, and of interpreters, whose functions say nothing about
/// the program that they run; by the beginning of their name.
const LIBRARIES: &[&str] = &[
    "ld-",
    "ld.so",
    "libc++",
    "libc-",
    "libc.",
    "libcoreclr",
    "libgcc_s",
    "libjemalloc",
    "libjvm",
    "libm.",
    "libmimalloc",
    "libnode",
    "libperl",
    "libphp",
    "libpthread",
    "libpython",
    "libruby",
    "libsnmalloc",
    "libstdc++",
    "libtcmalloc",
    "[",
];

/// Programs that are interpreters, by their name without a version.
const INTERPRETERS: &[&str] = &[
    "beam.smp", "bun", "deno", "lua", "luajit", "node", "nodejs", "perl", "php", "php-fpm", "python", "ruby",
];

/// Of a stack's figures, the one over a minute.
const MINUTE: usize = 1;

/// The stack that says most about where a program grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told<'a> {
    /// The stack.
    pub stack: &'a GrowthStack,
    /// What it touched in the last minute.
    pub bytes: Bytes,
    /// What all stacks touched in that time.
    pub of: Bytes,
}

impl Told<'_> {
    /// A smaller part of the growth is told with the whole.
    const MOST_OF_IT: f64 = 0.9;

    /// Its bytes, and all bytes where it does not stand for most of them: "12.0 MiB of 85.9 MiB".
    pub fn amount(&self) -> String {
        let Self { bytes, of, .. } = self;
        if self.share() >= Self::MOST_OF_IT { bytes.to_string() } else { format!("{bytes} of {of}") }
    }

    /// The part of the growth that it stands for, 0 to 1.
    pub fn share(&self) -> f64 {
        self.bytes.0 as f64 / (self.of.0 as f64).max(1.0)
    }
}

/// The first of these stacks, by bytes in the last minute, in which there is code of the program's own. Larger ones may end
/// in a library: they could not be walked further.
pub fn told(stacks: &[GrowthStack]) -> Option<Told<'_>> {
    let minute = |stack: &GrowthStack| stack.bytes.get(MINUTE).copied().unwrap_or_default();
    let of = Bytes(stacks.iter().fold(0, |sum, stack| sum.saturating_add(minute(stack).0)));
    let own = stacks.iter().filter(|stack| stack.own_frames().next().is_some());
    // Of equal ones the first: the stacks are in the order of ten minutes.
    let stack = own.rev().max_by_key(|stack| minute(stack))?;
    Some(Told { stack, bytes: minute(stack), of })
}

impl GrowthStack {
    /// The innermost named frame of the program's own code; `None` when there is none.
    pub fn own_frame(&self) -> Option<&UserFrame> {
        self.own_frames().find(|frame| frame.symbol.is_some())
    }

    /// The frames of the program's own code, innermost first; some may have no name.
    pub fn own_frames(&self) -> impl Iterator<Item = &UserFrame> {
        self.frames.iter().filter(|frame| frame.is_own())
    }
}

/// Whether a function, or `[file]` where it has no name, is the program's own, as far as the name tells.
pub fn is_own_function(name: &str) -> bool {
    !name.starts_with('[') && !library::has(name)
}

impl UserFrame {
    /// Whether it is in a file that is no allocator, standard library or interpreter, and not a function of these.
    fn is_own(&self) -> bool {
        if self.module.is_none() && self.symbol.is_none() {
            return false;
        }
        let file = self.module.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let name = file.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let is_library =
            LIBRARIES.iter().any(|library| file.starts_with(library)) || INTERPRETERS.contains(&name);
        !is_library && !self.symbol.as_deref().is_some_and(library::has)
    }
}

#[cfg(test)]
mod tests {
    use super::{GrowthStack, UserFrame, told};
    use crate::{mm::growth::WalkedBy, units::Bytes};

    const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

    fn own(frames: &[(&str, Option<&str>)]) -> Option<String> {
        stack(0, frames).own_frame().and_then(|frame| frame.symbol.clone())
    }

    fn stack(bytes: u64, frames: &[(&str, Option<&str>)]) -> GrowthStack {
        let frame = |(module, symbol): &(&str, Option<&str>)| UserFrame {
            address: "0x1".to_owned(),
            module: Some((*module).to_owned()),
            file_offset: Some(1),
            symbol: symbol.map(str::to_owned),
            inode: None,
        };
        GrowthStack {
            bytes: [Bytes(bytes); 3],
            walked_by: WalkedBy::default(),
            frames: frames.iter().map(frame).collect(),
        }
    }

    /// As `leak-cpp` with seed 201 was recorded: the largest stack ends in libc.
    #[test]
    fn the_first_stack_with_code_of_the_program_s_own_is_told_with_its_share() {
        let (ends, own) = (
            stack(9 << 20, &[(LIBC, Some("__memset_avx512_unaligned_erms"))]),
            [(LIBC, Some("_int_malloc")), ("/app/leak", Some("remember_session(long, unsigned long)"))],
        );
        let base = stack(1 << 20, &[("/app/leak", Some("main"))]);
        let stacks = [ends, stack(6 << 20, &own), base];
        let found = told(&stacks).unwrap();
        let name = found.stack.own_frame().unwrap().symbol.as_deref();
        assert_eq!(name, Some("remember_session(long, unsigned long)"));
        assert_eq!(found.amount(), "6.0 MiB of 16.0 MiB");
        let [ends, own, _] = &stacks;
        assert_eq!(told(std::slice::from_ref(own)).unwrap().amount(), "6.0 MiB", "all of it needs no whole");
        assert_eq!(told(std::slice::from_ref(ends)), None);
    }

    /// As `burst-beside-cache` with seed 201: the names of a stack that is a second old are not known.
    #[test]
    fn a_larger_stack_without_names_is_not_passed_over_for_a_smaller_one_with_names() {
        let burst = [(LIBC, Some("memset")), ("/app/steps", None), ("/app/steps", None)];
        let stacks = [stack(6 << 20, &[("/app/steps", Some("main"))]), stack(77 << 20, &burst)];
        assert_eq!(told(&stacks).unwrap().bytes, Bytes(77 << 20));
    }

    #[test]
    fn allocators_and_libraries_are_not_the_programs_own() {
        let cpp = [
            ("/lib/x86_64-linux-gnu/libc.so.6", Some("_int_malloc")),
            ("/lib/x86_64-linux-gnu/libstdc++.so.6.0.30", Some("operator new(unsigned long)")),
            ("/app/server", Some("std::vector<char>::resize(unsigned long)")),
            ("/app/server", Some("remember_session(Session const&)")),
            ("/app/server", Some("main")),
        ];
        assert_eq!(own(&cpp).as_deref(), Some("remember_session(Session const&)"));
        let rust = [
            ("/app/api", Some("_rjem_je_arena_malloc")),
            ("/app/api", Some("<alloc::vec::Vec<T> as core::clone::Clone>::clone")),
            ("/app/api", Some("api::cache::insert")),
        ];
        assert_eq!(own(&rust).as_deref(), Some("api::cache::insert"));
        let demo = [
            ("/target/debug/xtask", Some("<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem")),
            ("/target/debug/xtask", Some("alloc::vec::from_elem")),
            ("/target/debug/xtask", Some("xtask_base::grow::run")),
            ("/target/debug/xtask", Some("xtask::main")),
        ];
        assert_eq!(own(&demo).as_deref(), Some("xtask_base::grow::run"));
        let go = [("/app/svc", Some("runtime.mallocgc")), ("/app/svc", Some("main.(*Store).Put"))];
        assert_eq!(own(&go).as_deref(), Some("main.(*Store).Put"));
    }

    #[test]
    fn without_names_there_is_none() {
        assert_eq!(own(&[("/app/x", None), ("/lib/libc.so.6", Some("malloc"))]), None);
        let java = [("/usr/lib/jvm/lib/server/libjvm.so", Some("MemAllocator::allocate() const"))];
        assert_eq!(own(&java), None, "the interpreter is not the program");
        let python = [
            ("/usr/bin/python3.11", Some("_PyEval_EvalFrameDefault")),
            ("/app/engine.abi3.so", Some("engine::load")),
            ("/usr/bin/python3.11", Some("Py_RunMain")),
        ];
        assert_eq!(own(&python).as_deref(), Some("engine::load"), "an extension is");
    }
}
