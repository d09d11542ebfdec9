//! One guest, from power-on to its end.
//!
//! Image, archive and plan -> what the guest said, section by section while it runs, and how it ended. Must not outlive
//! its time: `timeout` ends the machine even when we are gone.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    tools::Qemu,
    transcript::{self, Transcript},
};
use xtask_base::process;

/// The longest that a boot with everything in it may take: a backstop for one that hangs. On two idle cores it takes five
/// minutes, and on a slow and busy machine up to a quarter of an hour.
const PATIENCE: Duration = Duration::from_secs(1800);
/// MiB of each node: so small that it is soon out of memory, and enough for the daemon and its readers on the largest
/// kernel. The second is for a cpuset to be out of.
const NODES: [u32; 2] = [256, 64];
/// Two, so that a victim and the one who asked for memory run at the same time, for a guest that turns from one to the
/// other.
pub(crate) const CPUS: u32 = 2;
/// `timeout`'s word for it.
const TIMED_OUT: i32 = 124;
/// Lines of the console that are shown when something went wrong.
const TAIL: usize = 40;

/// What to boot.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    /// Where its files are kept: target/vm/NAME.
    pub(crate) dir: PathBuf,
    pub(crate) qemu: &'a Qemu,
    pub(crate) image: &'a Path,
    pub(crate) archive: Vec<u8>,
    /// A disk with a small Debian.
    pub(crate) disk: &'a Path,
    /// More kernel arguments.
    pub(crate) append: &'a str,
}

/// How a guest ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) said: Transcript,
    /// Why it did not come to the end of its plan, if it did not.
    pub(crate) failure: Option<String>,
    pub(crate) took: Duration,
}

impl Machine<'_> {
    /// Boots it and waits for its end; `ended` is told of each unit of the plan when it has.
    pub(crate) fn run(&self, ended: impl FnMut(&str)) -> Result<Run> {
        let start = Instant::now();
        fs::create_dir_all(&self.dir).with_context(|| format!("failed to create {}", self.dir.display()))?;
        let (archive, results, console) =
            (self.dir.join("guest.cpio"), self.dir.join("results.txt"), self.dir.join("console.log"));
        fs::write(&archive, &self.archive)
            .with_context(|| format!("failed to write {}", archive.display()))?;
        for file in [&results, &console] {
            File::create(file).with_context(|| format!("failed to create {}", file.display()))?;
        }
        let errors = self.dir.join("qemu.log");
        let log = File::create(&errors).with_context(|| format!("failed to create {}", errors.display()))?;
        let mut command = self.command(&archive, &console);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = child.context("failed to run timeout")?;
        let said = child.stdout.take().context("failed to read from the guest")?;
        let kept = keep(said, &results, ended);
        let status = child.wait().context("failed to wait for timeout")?;
        kept?;
        fs::remove_file(&archive).with_context(|| format!("failed to remove {}", archive.display()))?;
        let said = Transcript::parse(&read(&results)?);
        let failure = if said.is_whole() {
            None
        } else {
            let how = match status.code() {
                Some(TIMED_OUT) => format!("did not end within {} s", PATIENCE.as_secs()),
                Some(0) => "ended early (kernel panic, or process 1 died)".to_owned(),
                _ => format!("could not be started: {status}: {}", read(&errors)?.trim()),
            };
            Some(format!("the guest {how}; its console ends with\n{}", process::tail(&read(&console)?, TAIL)))
        };
        Ok(Run { said, failure, took: start.elapsed() })
    }

    fn command(&self, archive: &Path, console: &Path) -> Command {
        let mut command = Command::new("timeout");
        // In the foreground, so that an interrupt from the terminal reaches the machine.
        command.args(["--foreground", "--kill-after=5", &PATIENCE.as_secs().to_string()]);
        self.qemu.add_to(&mut command);
        // One thread for both processors: with one each, QEMU 7.2 may run code that the other is changing, and 6.12
        // once fell over the int3 that a static key passes through. It also leaves the host's other cores to others.
        // cx16: QEMU 7.2 corrupts flags around cmpxchg16b, and one boot in eight of 6.12 hangs or panics.
        command.args(["-accel", "tcg,thread=single", "-cpu", "max,-cx16", "-machine", "q35"]);
        command.args(["-m", &format!("{}M", NODES.iter().sum::<u32>()), "-smp", &CPUS.to_string()]);
        for (node, size) in NODES.into_iter().enumerate() {
            let cpus = if node == 0 { ",cpus=0-1" } else { "" };
            command.arg("-object").arg(format!("memory-backend-ram,id=ram{node},size={size}M"));
            command.arg("-numa").arg(format!("node,nodeid={node}{cpus},memdev=ram{node}"));
        }
        // NVMe is built into every one of these kernels; what is written is thrown away.
        let disk = self.disk.display();
        command.arg("-drive").arg(format!("if=none,id=disk,format=raw,snapshot=on,file={disk}"));
        command.args(["-device", "nvme,drive=disk,serial=small"]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        for (id, file) in [("console", console), ("results", Path::new("/dev/stdout"))] {
            command.arg("-chardev").arg(format!("file,id={id},path={}", file.display()));
            command.arg("-serial").arg(format!("chardev:{id}"));
        }
        command.arg("-kernel").arg(self.image).arg("-initrd").arg(archive).arg("-append");
        command.arg(format!(
            "console=ttyS0 panic=-1 quiet loglevel=4 tsc=reliable random.trust_cpu=1 mitigations=off no_timer_check {}",
            self.append
        ));
        command
    }
}

/// Writes down what the guest says as it comes.
fn keep(said: impl Read, file: &Path, mut ended: impl FnMut(&str)) -> Result<()> {
    let written = || format!("failed to write {}", file.display());
    let mut to = File::create(file).with_context(written)?;
    let (mut said, mut line, mut last) = (BufReader::new(said), Vec::new(), String::new());
    while said.read_until(b'\n', &mut line).context("failed to read from the guest")? > 0 {
        to.write_all(&line).with_context(written)?;
        let text = String::from_utf8_lossy(&line);
        if let Some(unit) = transcript::unit(&text).filter(|unit| *unit != last) {
            ended(unit);
            unit.clone_into(&mut last);
        }
        line.clear();
    }
    Ok(())
}

/// A guest may say anything.
fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_is_kept_and_each_unit_is_told_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut units) = (dir.path().join("results.txt"), Vec::new());
        let said = b"=== doctor/diagnosis\n{}\n=== doctor/exit\n0\n=== events/printed\n\xff\n=== end\n";
        keep(&said[..], &file, |unit| units.push(unit.to_owned())).unwrap();
        assert_eq!(units, ["doctor", "events", "end"]);
        assert_eq!(fs::read(&file).unwrap(), said);
    }
}
