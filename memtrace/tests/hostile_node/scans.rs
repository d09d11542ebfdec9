//! Processes whose page tables or programs cannot be read.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    afterwards::{Held, it_is_well, nothing_is_left},
    files::compile,
    fixture::{
        PATIENCE,
        cgroup::Cgroup,
        daemon::{Daemon, Place},
        eventually, memtrace,
        program::Program,
    },
};

/// A file on a file system that answers until it is silenced.
struct Slow {
    directory: TempDir,
    server: Program,
}

impl Slow {
    fn new(file: &Path, how: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let slow = compile("slow", &[]);
        let (path, file) = (directory.path().display(), file.display());
        let server = Program::shell(&format!("exec {} {path} {file} {how}", slow.display()));
        assert_eq!(server.line(), "mounted");
        Self { directory, server }
    }

    fn file(&self) -> String {
        self.directory.path().join("file").display().to_string()
    }

    fn silence(&mut self) {
        self.server.go_on();
        assert_eq!(self.server.line(), "silent");
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // Those who wait are let go with its end; then nobody uses the mount.
        self.server.signal(rustix::process::Signal::KILL);
        self.server.end();
        rustix::mount::unmount(self.directory.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

/// What waits for a silent file system. The file system goes first: others cannot end before it answers.
struct Scene {
    #[expect(dead_code, reason = "it is dropped first")]
    slow: Slow,
    program: Program,
    group: Cgroup,
}

/// A program in a group of its own, as a container has one: what is quarantined there concerns nobody else.
fn contained(group: &Cgroup, command: &str) -> Program {
    Program::shell(&format!("echo $$ > {}/cgroup.procs; exec {command}", group.directory()))
}

/// The daemon says why this process is not read, and reads others.
fn it_alone_is_not_read(place: &Place, daemon: &Daemon<'_>, pid: u32) {
    let row = daemon.row("why it is not read", pid, |row| row.not_read.is_some());
    let why = row.not_read.unwrap();
    assert!(why.contains("no answer within 2 s") || why.contains("it is not read again"), "{why}");
    let other = Program::eat(&["touch", "32", "wait"]);
    other.ready();
    let row = daemon.row("the page tables of another", other.pid(), |row| row.memory.is_some());
    assert_eq!(row.not_read, None);
    it_is_well(place);
}

/// A process whose list of mappings nobody can read.
fn locked() -> Scene {
    let group = Cgroup::new();
    let mut slow = Slow::new(&library(), "all");
    let lock = compile("lock", &["-pthread"]);
    let program = contained(&group, &format!("{} {}", lock.display(), slow.file()));
    assert_eq!(program.line(), "ready");
    slow.silence();
    let mut scene = Scene { slow, program, group };
    scene.program.go_on();
    assert_eq!(scene.program.line(), "locked");
    scene
}

#[test]
fn a_process_whose_lock_is_held_costs_its_own_rows_and_nothing_else() {
    let (place, scene) = (Place::new(), locked());
    let daemon = place.start(&[]);
    let before = Held::by(&daemon);
    it_alone_is_not_read(&place, &daemon, scene.program.pid());
    drop(scene);
    nothing_is_left(&daemon, &before);
}

/// Whoever asks about such a process is told why it was not read, with a daemon and without.
#[test]
fn explain_of_a_process_whose_lock_is_held_ends_and_says_why() {
    let (place, scene) = (Place::new(), locked());
    let pid = scene.program.pid().to_string();
    let daemon = place.start(&[]);
    let before = Held::by(&daemon);
    daemon.row("why it is not read", scene.program.pid(), |row| row.not_read.is_some());
    let socket = place.socket();
    for more in [&["--alone"][..], &["--socket", socket.to_str().unwrap()]] {
        let output = memtrace(&[&["explain", &pid], more].concat());
        let page = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(output.status.success(), "{output:?}");
        let why = ["no answer within 2 s", "it is not read again for 5 min"];
        assert!(why.iter().any(|why| page.contains(why)), "{more:?}: {page}");
    }
    it_is_well(&place);
    drop(scene);
    nothing_is_left(&daemon, &before);
}

/// A program that has grown in a library on a file system that is silent since.
fn grown(slow: &mut Slow, group: &Cgroup) -> Program {
    let grower = compile("grower", &[]);
    let program = contained(group, &format!("{} {}", grower.display(), slow.file()));
    assert_eq!(program.line(), "ready");
    slow.silence();
    program
}

fn library() -> std::path::PathBuf {
    compile("grower", &["-DLIBRARY", "-shared", "-fPIC"])
}

#[test]
fn a_library_on_a_silent_file_system_costs_its_own_rows_and_nothing_else() {
    let (place, group) = (Place::new(), Cgroup::new());
    let mut slow = Slow::new(&library(), "all");
    let scene = Scene { program: grown(&mut slow, &group), slow, group };
    let daemon = place.start(&[]);
    let before = Held::by(&daemon);
    it_alone_is_not_read(&place, &daemon, scene.program.pid());
    drop(scene);
    nothing_is_left(&daemon, &before);
}

#[test]
fn a_library_whose_reads_never_end_costs_one_reader_at_most() {
    let (place, group) = (Place::new(), Cgroup::new());
    let mut slow = Slow::new(&library(), "read");
    let scene = Scene { program: grown(&mut slow, &group), slow, group };
    // The library's pages that were read are in the cache; the others must be read by whoever inspects it.
    fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
    let daemon = place.start(&["--listen", "127.0.0.1:0"]);
    let before = Held::by(&daemon);
    it_alone_is_not_read(&place, &daemon, scene.program.pid());
    // Others of its group are left alone, as long as the reader waits.
    let grower = contained(&scene.group, "sleep 1000");
    it_is_well(&place);
    drop(scene);
    drop(grower);
    nothing_is_left(&daemon, &before);
    eventually("it is read again", PATIENCE, || {
        let other = Program::eat(&["touch", "32", "wait"]);
        other.ready();
        daemon.row("its page tables", other.pid(), |row| row.memory.is_some()).memory
    });
}
