//! The frame of a call stack that is the program's own code: what a person looks for first.
//!
//! A stack -> one of its frames. Pure. Only names are known here: of the file, and of the function.

use super::{GrowthStack, UserFrame};

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
    use super::{GrowthStack, UserFrame};
    use crate::{mm::growth::WalkedBy, units::Bytes};

    fn own(frames: &[(&str, Option<&str>)]) -> Option<String> {
        let frame = |(module, symbol): &(&str, Option<&str>)| UserFrame {
            address: "0x1".to_owned(),
            module: Some((*module).to_owned()),
            file_offset: Some(1),
            symbol: symbol.map(str::to_owned),
        };
        let stack = GrowthStack {
            bytes: [Bytes(0); 3],
            walked_by: WalkedBy::default(),
            frames: frames.iter().map(frame).collect(),
        };
        stack.own_frame().and_then(|frame| frame.symbol.clone())
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
