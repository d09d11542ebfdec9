//! A private daemon for the live view, when none is running: it ends with the view and leaves nothing behind.

use std::{
    env, fs,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// How long it may take to exit.
const PATIENCE: Duration = Duration::from_secs(3);

/// The daemon.
pub(super) struct Own {
    child: Arc<Mutex<Child>>,
    directory: PathBuf,
}

impl Own {
    /// Starts it, or returns the reason why it cannot.
    pub(super) fn start() -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err("probes need root".to_owned());
        }
        let directory = env::temp_dir().join(format!("memtrace-top-{}", std::process::id()));
        // Fails when it is there: nobody else's directory is used.
        let made = fs::DirBuilder::new().mode(0o700).create(&directory);
        made.map_err(|error| format!("failed to create {}: {error}", directory.display()))?;
        match spawn(&directory) {
            Ok(child) => Ok(Self { child: Arc::new(Mutex::new(child)), directory }),
            Err(error) => {
                // Nothing is lost with it.
                let _ = fs::remove_dir_all(&directory);
                Err(format!("failed to start a daemon: {error}"))
            }
        }
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("memtrace.sock")
    }

    /// Says why it has ended, once it has.
    pub(super) fn ended(&self) -> impl Fn() -> Option<String> + Send + use<> {
        let (child, log) = (Arc::clone(&self.child), self.directory.join("log"));
        move || {
            let status = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok()??;
            let said = fs::read_to_string(&log).unwrap_or_default();
            let last = said.lines().next_back().map(|line| line.trim_start_matches("memtrace: ").to_owned());
            Some(last.unwrap_or_else(|| status.to_string()))
        }
    }
}

fn spawn(directory: &std::path::Path) -> std::io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg("daemon")
        .args(["--end-with", &std::process::id().to_string(), "--state-dir"])
        .arg(directory.join("state"))
        .arg("--socket")
        .arg(directory.join("memtrace.sock"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(directory.join("log"))?)
        .spawn()
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // All of it fails only for a daemon that has ended, which is what is wanted.
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        }
        let start = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
