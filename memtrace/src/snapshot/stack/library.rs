//! Whether a function belongs to an allocator, to a language's own library or to a runtime, in whatever file it is.
//!
//! A demangled name -> yes or no. Pure; names may be cut. A generic function is compiled into the program and has the
//! program's types in its name, so the decision is on the function's own path: `alloc` in
//! `<alloc::vec::Vec<api::Item>>::push`, `api` in `std::unique_ptr<Item> api::make<Item>(int)`.

/// Functions that allocate, copy or start threads for others. They may be linked into the program.
const HELPERS: &[&str] = &[
    "AllocSetAlloc",
    "MemoryContextAlloc",
    "_start",
    "aligned_alloc",
    "brk",
    "clone",
    "clone3",
    "malloc_usable_size",
    "memalign",
    "memcpy",
    "memmove",
    "memset",
    "mmap",
    "mmap64",
    "mremap",
    "palloc",
    "palloc0",
    "posix_memalign",
    "pvalloc",
    "reallocarray",
    "repalloc",
    "sbrk",
    "start_thread",
    "sysmalloc",
    "valloc",
];

/// The functions that wrappers are named after: `xmalloc`, `g_realloc`, `_ecalloc`.
const WRAPPED: [&str; 5] = ["malloc", "calloc", "realloc", "strdup", "memdup"];
/// The longest prefix of a wrapper's name: `leak_by_malloc` is somebody's own.
const LONGEST_PREFIX: usize = 3;

/// More functions of C libraries and allocators, by the beginning of their name.
const FAMILIES: &[&str] = &[
    "_Zdl", "_Zna", "_Znw", "__GI_", "__cxa_", "__libc_", "__mem", "__mmap", "__rdl_", "__rg_", "__rust",
    "_cgo_", "_int_", "_rjem_", "je_", "mi_", "tc_", "tcmalloc",
];

/// Rust's library, what is compiled into it, and allocators' crates.
const CRATES: &[&str] = &[
    "__rustc",
    "alloc",
    "compiler_builtins",
    "core",
    "hashbrown",
    "jemallocator",
    "libmimalloc_sys",
    "mimalloc",
    "snmalloc_rs",
    "std",
    "std_detect",
    "tikv_jemalloc_sys",
    "tikv_jemallocator",
];

/// Namespaces of C++'s library and of allocators.
const NAMESPACES: &[&str] =
    &["__cxxabiv1", "__gnu_cxx", "__gnu_debug", "__gnu_parallel", "snmalloc", "std", "tcmalloc"];

/// Traits of Rust's library that are implemented there for the program's types too; a name that begins with `Spec` is
/// one that only the library can implement.
const BLANKET: &[&str] = &["Borrow", "BorrowMut", "ConvertVec", "Into", "ToOwned", "ToString", "TryInto"];

/// The first part of the paths of Go's packages.
const PACKAGES: &[&str] = &[
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "encoding",
    "errors",
    "fmt",
    "hash",
    "html",
    "image",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "text",
    "time",
    "type:",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
];

/// Suffixes that compilers give to parts and copies of a function.
const SUFFIXES: [&str; 8] =
    [" [clone", "@", ".part.", ".constprop.", ".isra.", ".cold", ".lto_priv.", ".llvm."];

/// Whose a piece of code is.
#[derive(PartialEq, Eq)]
enum Whose {
    Library,
    Program,
    /// A primitive type, or a type parameter.
    Anybody,
}

/// Whether a function belongs to an allocator, to a language's own library or to a runtime.
pub fn has(symbol: &str) -> bool {
    let end = SUFFIXES.iter().filter_map(|suffix| symbol.find(suffix).filter(|at| *at > 0)).min();
    let symbol = end.and_then(|end| symbol.get(..end)).unwrap_or(symbol);
    match symbol.strip_prefix('<') {
        Some(inside) => is_library_impl(inside),
        None => is_helper(symbol) || is_in_go(symbol) || is_in_path(symbol),
    }
}

fn is_helper(symbol: &str) -> bool {
    let is_wrapper = |of: &str| symbol.strip_suffix(of).is_some_and(|prefix| prefix.len() <= LONGEST_PREFIX);
    HELPERS.contains(&symbol)
        || WRAPPED.iter().any(|of| is_wrapper(of))
        || FAMILIES.iter().any(|family| symbol.starts_with(family))
}

/// `encoding/json.(*Decoder).Decode`, `runtime.mallocgc`: a package, a dot, a name.
fn is_in_go(symbol: &str) -> bool {
    let path = symbol.split(['(', '[', '<', ' ']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let first = path.split(['/', '.']).next().unwrap_or_default();
    name.contains('.') && !path.contains("::") && PACKAGES.contains(&first)
}

/// `alloc::vec::Vec<T>::push`, `std::vector<Item>& std::f<Item>(int)`, `operator new(unsigned long)`.
fn is_in_path(symbol: &str) -> bool {
    let (path, is_cpp) = function(symbol);
    if path.starts_with("operator new") || path.starts_with("operator delete") {
        return true;
    }
    let known = if is_cpp { NAMESPACES } else { CRATES };
    path.split_once("::").is_some_and(|(first, _)| known.contains(&without_hash(first)))
}

/// `alloc[2f5e]`, as Rust writes it with the hash of the crate.
fn without_hash(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// The path of a function without its return type and parameters, and whether it had parameters, which only the names
/// of C++ have.
fn function(symbol: &str) -> (&str, bool) {
    let symbol = symbol.rsplit_once(" thunk to ").map_or(symbol, |(_, of)| of);
    let (mut depth, mut start, mut before) = (0_u32, 0, ' ');
    for (at, c) in symbol.char_indices() {
        let rest = symbol.get(at..).unwrap_or_default();
        let is_word = before == ' ' || before == ':';
        match c {
            'o' if depth == 0 && is_word && is_operator(rest) => {
                return (symbol.get(start..).unwrap_or_default(), true);
            }
            '(' if depth == 0 && at > start && !rest.starts_with("(anonymous namespace)") => {
                return (symbol.get(start..at).unwrap_or_default(), true);
            }
            '<' | '(' | '[' | '{' => depth += 1,
            // The arrow of a function's type is no bracket.
            '>' if before == '-' => {}
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => start = at + 1,
            _ => {}
        }
        before = c;
    }
    (symbol.get(start..).unwrap_or_default(), false)
}

/// Whether a word of C++ is `operator`.
fn is_operator(rest: &str) -> bool {
    let next = rest.strip_prefix("operator").and_then(|rest| rest.chars().next());
    next.is_some_and(|next| next != '_' && !next.is_alphanumeric())
}

/// `u8 as alloc::vec::SpecFromElem>::from_elem`, `alloc::vec::Vec<api::Item>>::push`: what comes after the first `<` in
/// the name of a Rust method. An implementation is the library's when the type or the trait is, as long as the program
/// owns neither.
fn is_library_impl(inside: &str) -> bool {
    let (of, as_trait) = parts(inside);
    let is_of_library = |path: &str| whose(path) == Whose::Library;
    match (whose(of), as_trait) {
        (Whose::Library | Whose::Anybody, None) => true,
        (Whose::Library | Whose::Anybody, Some(of)) => is_of_library(of),
        (Whose::Program, None) => false,
        (Whose::Program, Some(of)) => is_of_library(of) && is_blanket(of),
    }
}

/// The type, and the trait if there is one: both end with the bracket that closes the one before `inside`.
fn parts(inside: &str) -> (&str, Option<&str>) {
    let (mut depth, mut before, mut split) = (0_u32, ' ', None);
    let mut end = inside.len();
    for (at, c) in inside.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if before == '-' => {}
            '>' if depth == 0 => {
                end = at;
                break;
            }
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && inside.get(at..).is_some_and(|rest| rest.starts_with(" as ")) => {
                split = split.or(Some(at));
            }
            _ => {}
        }
        before = c;
    }
    let text = |range: std::ops::Range<usize>| inside.get(range).unwrap_or_default();
    match split {
        Some(at) => (text(0..at), Some(text((at + " as ".len()).min(end)..end))),
        None => (text(0..end), None),
    }
}

/// Whose a type or a trait is, by the crate at the start of its path.
fn whose(path: &str) -> Whose {
    let mut path = path;
    let prefixes = ["&", "<", "mut ", "dyn ", "*const ", "*mut ", "impl "];
    while let Some(rest) = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix)) {
        path = rest;
    }
    let end = path.find(['<', '>', '(', ' ', ',']).unwrap_or(path.len());
    match path.get(..end).unwrap_or_default().split_once("::") {
        Some((first, _)) if CRATES.contains(&without_hash(first)) => Whose::Library,
        Some((first, _)) if !first.is_empty() && !first.starts_with('[') => Whose::Program,
        _ => Whose::Anybody,
    }
}

/// Whether Rust's library implements a trait of its own for the types of others.
fn is_blanket(path: &str) -> bool {
    let path = path.split('<').next().unwrap_or_default();
    let name = path.rsplit("::").next().unwrap_or_default();
    name.starts_with("Spec") || BLANKET.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::has;

    #[test]
    fn what_languages_and_allocators_bring_along_is_a_library() {
        for symbol in [
            // Rust, legacy names.
            "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "<T as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone",
            "<alloc::vec::Vec<u8> as alloc::vec::spec_extend::SpecExtend<api::Item,I>>::spec_extend",
            "alloc::raw_vec::RawVec<T,A>::grow_amortized",
            "alloc::slice::<impl [T]>::to_vec",
            "core::fmt::num::<impl core::fmt::Display for u32>::fmt",
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "__rust_alloc",
            "__rdl_alloc_zeroed",
            // Rust, v0 names, which have the types of the program in them.
            "<alloc::vec::Vec<api::Item>>::push",
            "<alloc::raw_vec::RawVec<fn(api::Item) -> u8>>::grow_one",
            "<alloc::boxed::Box<dyn core::ops::function::FnOnce<()>> as core::ops::function::FnOnce<()>>::call_once",
            "<api::Item as alloc::vec::spec_from_elem::SpecFromElem>::from_elem::<alloc::alloc::Global>",
            "<[api::Item] as alloc::slice::SpecCloneIntoVec<api::Item, _>>::clone_into",
            "<[u8]>::to_vec",
            "<str>::to_owned",
            "<&mut I as core::iter::traits::iterator::Iterator>::next",
            "<(u8, api::Item) as core::clone::Clone>::clone",
            "core::ptr::drop_in_place::<api::Item>",
            "alloc[2f5e81]::vec::from_elem::<u8>",
            "__rustc::__rust_alloc",
            "<tikv_jemallocator::Jemalloc as core::alloc::global::GlobalAlloc>::alloc",
            // A name that was cut.
            "<alloc::collections::btree::map::BTreeMap<api::Key, api::very::lo...",
            // C++.
            "operator new(unsigned long)",
            "operator new[](unsigned long, std::nothrow_t const&)",
            "_Znwm",
            "std::vector<Session, std::allocator<Session> >::push_back(Session const&)",
            "void std::vector<char>::_M_realloc_insert<char const&>(__normal_iterator<char*>, char const&)",
            "std::__cxx11::basic_string<char>::_M_mutate(unsigned long)",
            "std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)",
            "__gnu_cxx::new_allocator<Session>::allocate(unsigned long, void const*)",
            "std::_Function_handler<void (), main::{lambda()#1}>::_M_invoke(std::_Any_data const&)",
            "non-virtual thunk to std::basic_iostream<char>::~basic_iostream()",
            "tcmalloc::allocate_full_malloc_oom(unsigned long)",
            // Go.
            "runtime.mallocgc",
            "runtime/internal/atomic.Load",
            "internal/runtime/maps.(*Map).grow",
            "bytes.growSlice",
            "encoding/json.(*decodeState).object",
            "slices.Grow[go.shape.[]uint8,go.shape.uint8]",
            "strings.(*Builder).grow",
            // C.
            "malloc",
            "_int_malloc",
            "sysmalloc.part.0",
            "memcpy@@GLIBC_2.14",
            "__libc_start_main",
            "xmalloc",
            "zrealloc",
            "g_malloc",
        ] {
            assert!(has(symbol), "{symbol}");
        }
    }

    #[test]
    fn what_the_program_wrote_is_its_own() {
        for symbol in [
            "xtask_base::grow::run",
            "api::cache::insert::{{closure}}",
            "<api::Item as core::clone::Clone>::clone",
            "<api::Pool as core::alloc::global::GlobalAlloc>::alloc",
            "<api::Store>::put",
            "<alloc::vec::Vec<u8> as api::Remember>::remember",
            "<u8 as api::codec::Encode>::encode",
            "<&api::Store as core::iter::traits::collect::IntoIterator>::into_iter",
            "api::<impl core::fmt::Display for api::Item>::fmt",
            "allocation::run",
            "stdlib_of_mine::grow",
            "core::Cache::put(core::Item const&)",
            "remember_session(Session const&)",
            "(anonymous namespace)::remember(std::string const&)",
            "std::unique_ptr<Item> api::make<Item>(int)",
            "std::vector<Item>& api::Store::items<(Kind)1>()",
            "void Cache::insert<std::string>(std::string&&)",
            "Session::operator new(unsigned long)",
            "Cache::operator[](unsigned long)",
            "main::{lambda()#1}::operator()() const",
            "api::operators(std::vector<int>)",
            "main.(*Store).Put",
            "main.main.func1",
            "github.com/acme/shop/runtime.Load",
            "shop/bytes.Grow",
            "bytes",
            "sort.cold",
            "net_read",
            "leak_by_malloc",
            "main",
            "",
        ] {
            assert!(!has(symbol), "{symbol}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Symbol tables are untrusted.
        #[test]
        fn any_name_has_an_answer(symbol in "([<>(){}\\[\\]: &.@/-]|as |operator|std::|é|a){0,40}") {
            has(&symbol);
        }
    }
}
