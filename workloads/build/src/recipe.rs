//! What is built, of what, with what.
//!
//! Data only.

/// How a workload is made.
pub struct Recipe {
    pub name: &'static str,
    /// Programs that must be there, with the Debian package of each.
    pub tools: &'static [(&'static str, &'static str)],
    pub source: &'static str,
    pub output: &'static str,
    pub step: Step,
}

pub enum Step {
    /// A command; SOURCE, OUTPUT and FOLDER stand for the paths.
    Run(&'static [&'static str]),
    /// `cargo build` with these arguments; the source is the binary's name.
    Cargo(&'static [&'static str]),
    /// Interpreted: nothing to build.
    Copy,
}

const GCC: &[(&str, &str)] = &[("gcc", "gcc")];
const GXX: (&str, &str) = ("g++", "g++");
const MAKE: (&str, &str) = ("make", "make");
const STRIP: &[(&str, &str)] = &[("strip", "binutils")];

/// Shared libraries that a test preloads; linked into the output folder.
pub const PRELOADS: [(&str, &str); 2] =
    [("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"), ("libjemalloc.so.2", "libjemalloc2")];

const fn rust(name: &'static str) -> Recipe {
    Recipe { name, tools: GCC, source: name, output: name, step: Step::Cargo(&["--bins"]) }
}

pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "c-glibc",
        tools: GCC,
        source: "c/main.c",
        output: "c-glibc",
        step: Step::Run(&["gcc", "-O1", "-g", "-pthread", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "c-glibc-static",
        tools: GCC,
        source: "c/main.c",
        output: "c-glibc-static",
        step: Step::Run(&["gcc", "-O1", "-g", "-static", "-s", "-pthread", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "c-glibc-stripped",
        tools: STRIP,
        source: "target/out/c-glibc",
        output: "c-glibc-stripped",
        step: Step::Run(&["strip", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "c-musl",
        tools: &[("musl-gcc", "musl-tools")],
        source: "c/main.c",
        output: "c-musl",
        step: Step::Run(&["musl-gcc", "-O1", "-g", "-static", "-pthread", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "c-musl-dynamic",
        tools: &[("musl-gcc", "musl-tools")],
        source: "c/main.c",
        output: "c-musl-dynamic",
        step: Step::Run(&["musl-gcc", "-O1", "-pthread", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "c-musl-stripped",
        tools: &[("musl-gcc", "musl-tools")],
        source: "c/main.c",
        output: "c-musl-stripped",
        step: Step::Run(&["musl-gcc", "-O1", "-static", "-s", "-pthread", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "cpp",
        tools: &[GXX],
        source: "cpp/main.cpp",
        output: "cpp",
        step: Step::Run(&["g++", "-std=c++17", "-O1", "-g", "-pthread", "SOURCE", "-o", "OUTPUT", "-ldl"]),
    },
    rust("rust-default"),
    rust("file-mapper"),
    rust("shmem-user"),
    rust("forker"),
    Recipe {
        name: "rust-default-stripped",
        tools: STRIP,
        source: "target/out/rust-default",
        output: "rust-default-stripped",
        step: Step::Run(&["strip", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "rust-jemalloc",
        tools: &[GCC[0], MAKE],
        source: "rust-jemalloc",
        output: "rust-jemalloc",
        step: Step::Cargo(&["--features", "jemalloc", "--bin", "rust-jemalloc"]),
    },
    Recipe {
        name: "rust-jemalloc-stripped",
        tools: STRIP,
        source: "target/out/rust-jemalloc",
        output: "rust-jemalloc-stripped",
        step: Step::Run(&["strip", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "rust-jemalloc-stats",
        tools: &[GCC[0], MAKE],
        source: "rust-jemalloc",
        output: "rust-jemalloc-stats",
        step: Step::Cargo(&["--features", "jemalloc-stats", "--bin", "rust-jemalloc"]),
    },
    Recipe {
        name: "rust-mimalloc-v2",
        tools: GCC,
        source: "rust-mimalloc",
        output: "rust-mimalloc-v2",
        step: Step::Cargo(&["--features", "mimalloc-v2", "--bin", "rust-mimalloc"]),
    },
    Recipe {
        name: "rust-mimalloc",
        tools: GCC,
        source: "rust-mimalloc",
        output: "rust-mimalloc",
        step: Step::Cargo(&["--features", "mimalloc", "--bin", "rust-mimalloc"]),
    },
    Recipe {
        name: "rust-mimalloc-stripped",
        tools: STRIP,
        source: "target/out/rust-mimalloc",
        output: "rust-mimalloc-stripped",
        step: Step::Run(&["strip", "SOURCE", "-o", "OUTPUT"]),
    },
    Recipe {
        name: "rust-snmalloc",
        tools: &[GXX],
        source: "rust-snmalloc",
        output: "rust-snmalloc",
        step: Step::Cargo(&["--features", "snmalloc", "--bin", "rust-snmalloc"]),
    },
    Recipe {
        name: "go",
        tools: &[("go", "golang-go")],
        source: "go/main.go",
        output: "go",
        step: Step::Run(&["go", "build", "-o", "OUTPUT", "SOURCE"]),
    },
    Recipe {
        name: "go-stripped",
        tools: &[("go", "golang-go")],
        source: "go/main.go",
        output: "go-stripped",
        step: Step::Run(&["go", "build", "-ldflags=-s -w", "-o", "OUTPUT", "SOURCE"]),
    },
    Recipe {
        name: "java",
        tools: &[("javac", "default-jdk-headless"), ("java", "default-jdk-headless")],
        source: "java/Workload.java",
        output: "Workload.class",
        // It says every time that sun.misc.Unsafe may be gone one day.
        step: Step::Run(&["javac", "-XDignore.symbol.file", "-d", "FOLDER", "SOURCE"]),
    },
    Recipe {
        name: "node",
        tools: &[("node", "nodejs")],
        source: "node/main.js",
        output: "node.js",
        step: Step::Copy,
    },
    Recipe {
        name: "python",
        tools: &[("python3", "python3")],
        source: "python/main.py",
        output: "python.py",
        step: Step::Copy,
    },
];
