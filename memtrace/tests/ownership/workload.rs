//! A workload that is running, and its protocol.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Started, and gone when dropped.
pub struct Workload {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Where the workloads are built.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../workloads/target/out")
}

/// A program of the folder.
pub fn program(name: &str) -> Command {
    let path = folder().join(name);
    assert!(
        path.exists(),
        "{name} is not built: run `cargo run --manifest-path workloads/Cargo.toml -p build`"
    );
    Command::new(path)
}

impl Workload {
    /// Starts it and waits until it is ready.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut workload = Self { child, commands, answers: BufReader::new(answers) };
        assert_eq!(workload.answer(), "ok ready");
        workload
    }

    /// Starts it and gives it commands.
    pub fn driven(command: Command, commands: &[&str]) -> Self {
        let mut workload = Self::start(command);
        for command in commands {
            workload.say(command);
        }
        workload
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives it a command and waits until it is carried out; the number of the answer is returned.
    pub fn say(&mut self, command: &str) -> Option<u64> {
        self.told(command).first().copied()
    }

    /// The same for an answer of several numbers.
    pub fn told(&mut self, command: &str) -> Vec<u64> {
        writeln!(self.commands, "{command}").unwrap();
        let answer = self.answer();
        assert!(answer.starts_with("ok "), "{command}: {answer}");
        answer.split_whitespace().skip(2).map_while(|word| word.parse().ok()).collect()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
