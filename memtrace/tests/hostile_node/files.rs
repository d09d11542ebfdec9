//! Programs and libraries that are not what they were.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    afterwards::{Held, it_is_well, nothing_is_left},
    fixture::{
        PATIENCE,
        daemon::{Daemon, Place},
        eventually,
        program::Program,
    },
};

/// One of the programs beside this file.
pub fn compile(name: &str, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_node").join(format!("{name}.c"));
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}{}", options.len()));
    let new = made.with_extension(std::process::id().to_string());
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Wextra", "-o"]).args([&new, &source]).args(options);
    assert!(cc.status().expect("a C compiler is installed").success(), "failed to compile {name}.c");
    fs::rename(&new, &made).unwrap();
    made
}

/// A program that has grown in a library of its own, and waits; its growth has names.
fn grown(daemon: &Daemon<'_>, directory: &Path) -> (Program, PathBuf) {
    let library = directory.join("library.so");
    fs::copy(compile("grower", &["-DLIBRARY", "-shared", "-fPIC"]), &library).unwrap();
    let program = Program::shell(&format!("exec {} {}", compile("grower", &[]).display(), library.display()));
    assert_eq!(program.line(), "ready");
    eventually("its growth has names", PATIENCE, || has_name(daemon, &program).then_some(()));
    (program, library)
}

fn has_name(daemon: &Daemon<'_>, program: &Program) -> bool {
    let row = daemon.row("its stacks", program.pid(), |row| {
        row.memory.iter().any(|memory| !memory.growth_stacks.is_empty())
    });
    let stacks = row.memory.into_iter().flat_map(|memory| memory.growth_stacks);
    let mut names = stacks.flat_map(|stack| stack.frames).filter_map(|frame| frame.symbol);
    names.any(|name| name == "grow_in_library")
}

#[test]
fn a_library_that_became_a_pipe_has_no_names_and_holds_nobody_up() {
    let (place, directory) = (Place::new(), tempfile::tempdir().unwrap());
    let daemon = place.start(&[]);
    it_is_well(&place);
    let (program, library) = grown(&daemon, directory.path());
    let before = Held::by(&daemon);
    fs::remove_file(&library).unwrap();
    assert!(Command::new("mkfifo").arg(&library).status().unwrap().success());
    eventually("it has none any more", PATIENCE, || (!has_name(&daemon, &program)).then_some(()));
    it_is_well(&place);
    nothing_is_left(&daemon, &before);
}

#[test]
fn a_library_that_is_cut_short_while_it_is_read_kills_a_reader_at_most() {
    let (place, directory) = (Place::new(), tempfile::tempdir().unwrap());
    let daemon = place.start(&[]);
    it_is_well(&place);
    let (program, library) = grown(&daemon, directory.path());
    let (before, whole, is_over) = (Held::by(&daemon), fs::read(&library).unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let file = fs::OpenOptions::new().write(true).open(&library).unwrap();
                file.set_len(0).unwrap();
                fs::write(&library, &whole).unwrap();
            }
        });
        for _ in 0..50 {
            has_name(&daemon, &program);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    it_is_well(&place);
    nothing_is_left(&daemon, &before);
}

/// A chain of links that ends at whatever the reader itself has open.
#[test]
fn a_library_that_became_a_chain_of_links_has_no_names_and_opens_nothing() {
    let (place, directory) = (Place::new(), tempfile::tempdir().unwrap());
    let daemon = place.start(&[]);
    it_is_well(&place);
    let (program, library) = grown(&daemon, directory.path());
    let before = Held::by(&daemon);
    fs::remove_file(&library).unwrap();
    let links: Vec<PathBuf> = (0..30).map(|number| directory.path().join(number.to_string())).collect();
    let targets = links.iter().skip(1).map(PathBuf::as_path).chain([Path::new("/proc/self/fd/0")]);
    for (link, target) in links.iter().zip(targets) {
        symlink(target, link).unwrap();
    }
    symlink(&links[0], &library).unwrap();
    eventually("it has none any more", PATIENCE, || (!has_name(&daemon, &program)).then_some(()));
    it_is_well(&place);
    nothing_is_left(&daemon, &before);
}

/// Nearly all of it is a hole, which costs its owner nothing.
#[test]
fn a_program_of_two_hundred_gib_costs_no_more_than_another() {
    let (place, directory) = (Place::new(), tempfile::tempdir().unwrap());
    let daemon = place.start(&[]);
    it_is_well(&place);
    let before = Held::by(&daemon);
    let (huge, library) = (directory.path().join("huge"), directory.path().join("library.so"));
    fs::copy(compile("grower", &[]), &huge).unwrap();
    fs::copy(compile("grower", &["-DLIBRARY", "-shared", "-fPIC"]), &library).unwrap();
    for file in [&huge, &library] {
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(200 << 30).unwrap();
    }
    let program = Program::shell(&format!("exec {} {}", huge.display(), library.display()));
    assert_eq!(program.line(), "ready");
    daemon.row("its page tables", program.pid(), |row| row.memory.is_some());
    it_is_well(&place);
    drop(program);
    nothing_is_left(&daemon, &before);
}
