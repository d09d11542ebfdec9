//! The kernel log, record by record, without waiting and without consuming it.
//!
//! Input: /dev/kmsg, or the syslog call if that device is missing, as in an unprivileged container. Output: records in
//! the format of /dev/kmsg (`6,1234,5678901,-;text`); those from the call have the sequence number 0.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

/// `SYSLOG_ACTION_READ_ALL` and `SYSLOG_ACTION_SIZE_BUFFER`, see syslog(2).
const READ_ALL: libc::c_int = 3;
const SIZE_BUFFER: libc::c_int = 10;
/// The kernel's own bound is below this (`CONFIG_LOG_BUF_SHIFT` is 25 at most).
const LARGEST: usize = 32 << 20;

#[derive(Debug)]
pub enum Kmsg {
    /// The device, which keeps the read position.
    Device(File),
    /// The call, which returns the whole log each time.
    Call(Ring),
}

/// The read position in the log of the call.
#[derive(Debug, Default)]
pub struct Ring {
    records: VecDeque<String>,
    /// The time of the last record taken, in µs, and the number of records with that time.
    last: (u64, usize),
}

impl Kmsg {
    /// Starts at the oldest record.
    ///
    /// # Errors
    /// When the log may not be read.
    pub fn from_the_beginning() -> io::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open("/dev/kmsg");
        match device {
            Ok(file) => Ok(Self::Device(file)),
            Err(error) => {
                let mut ring = Ring::default();
                // The device's error is more useful if the device exists.
                let fits = |call: io::Error| if error.kind() == ErrorKind::NotFound { call } else { error };
                ring.fill().map_err(fits)?;
                Ok(Self::Call(ring))
            }
        }
    }

    /// Starts at the end of the log.
    ///
    /// # Errors
    /// When the log may not be read.
    pub fn from_now() -> io::Result<Self> {
        let mut log = Self::from_the_beginning()?;
        match &mut log {
            Self::Device(file) => drop(file.seek(SeekFrom::End(0))?),
            Self::Call(ring) => ring.records.clear(),
        }
        Ok(log)
    }

    /// The next record.
    ///
    /// # Errors
    /// `WouldBlock` when there is none yet, EPIPE when the log was overwritten before it was read.
    pub fn read(&mut self, record: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Device(file) => file.read(record),
            Self::Call(ring) => {
                if ring.records.is_empty() {
                    ring.fill()?;
                }
                let next = ring.records.pop_front().ok_or(ErrorKind::WouldBlock)?;
                let length = next.len().min(record.len());
                if let (Some(to), Some(from)) = (record.get_mut(..length), next.as_bytes().get(..length)) {
                    to.copy_from_slice(from);
                }
                Ok(length)
            }
        }
    }
}

impl Ring {
    fn fill(&mut self) -> io::Result<()> {
        let size = usize::try_from(klogctl(SIZE_BUFFER, &mut [])?).unwrap_or_default().min(LARGEST);
        // The text prefix makes each record longer than in the kernel's buffer.
        let mut text = vec![0; size.saturating_mul(2)];
        let length = usize::try_from(klogctl(READ_ALL, &mut text)?).unwrap_or_default();
        self.take(text.get(..length).unwrap_or_default());
        Ok(())
    }

    /// Takes the new records of the whole log.
    fn take(&mut self, text: &[u8]) {
        let (mut time, mut count) = (0, 0);
        let known = self.last;
        for line in text.split(|byte| *byte == b'\n') {
            let Some((priority, at, message)) = parse(line) else { continue };
            count = if at == time { count + 1 } else { 1 };
            time = at;
            if (time, count) > known {
                self.last = (time, count);
                self.records.push_back(format!("{priority},0,{at},-;{}\n", String::from_utf8_lossy(message)));
            }
        }
    }
}

/// `<6>[   12.345678] text`: priority, µs since boot, text. `None` without a time (`printk.time=0`).
fn parse(line: &[u8]) -> Option<(u32, u64, &[u8])> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse::<u64>().ok();
    let rest = line.strip_prefix(b"<")?;
    let end = rest.iter().position(|byte| *byte == b'>')?;
    let priority = u32::try_from(number(rest.get(..end)?)?).ok()?;
    let rest = rest.get(end + 1..)?.strip_prefix(b"[")?;
    let end = rest.iter().position(|byte| *byte == b']')?;
    let time = rest.get(..end)?;
    let dot = time.iter().position(|byte| *byte == b'.')?;
    let seconds = number(time.get(..dot)?)?;
    let micros = number(time.get(dot + 1..dot + 7)?)?;
    let mut message = rest.get(end + 1..)?;
    // `[  T12] `: the caller, with `CONFIG_PRINTK_CALLER`.
    if let Some(caller) = message.strip_prefix(b"[") {
        message = caller.get(caller.iter().position(|byte| *byte == b']')? + 1..)?;
    }
    Some((priority, seconds.checked_mul(1_000_000)?.checked_add(micros)?, message.strip_prefix(b" ")?))
}

#[expect(unsafe_code, reason = "the call has no safe form in the crates that we have")]
fn klogctl(action: libc::c_int, buffer: &mut [u8]) -> io::Result<libc::c_int> {
    let length = libc::c_int::try_from(buffer.len()).map_err(|_| ErrorKind::InvalidInput)?;
    // SAFETY: the kernel writes at most `length` bytes to the buffer, which has as many.
    let got = unsafe { libc::klogctl(action, buffer.as_mut_ptr().cast(), length) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got) }
}

#[cfg(test)]
mod tests {
    use super::{Kmsg, Ring, parse};

    #[test]
    fn a_line_of_the_call_has_priority_time_and_text() {
        let line = b"<3>[18182.000417] Memory cgroup out of memory: Killed process 7 (x)";
        assert_eq!(parse(line).unwrap().0, 3);
        assert_eq!(parse(line).unwrap().1, 18_182_000_417);
        assert_eq!(parse(b"<6>[    0.000001] a] b").unwrap(), (6, 1, &b"a] b"[..]));
        assert_eq!(parse(b"<6>[    0.000001][  T12] x").unwrap(), (6, 1, &b"x"[..]));
        for odd in [&b""[..], b"<", b"<6>", b"<6>[1] x", b"<6>[1.2] x", b"<6>no time", b"<9x>[1.000000] y"] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn the_whole_log_again_gives_what_is_new_alone() {
        let mut ring = Ring::default();
        ring.take(b"<6>[    1.000000] a\n<6>[    1.000000] b\n<4>[    2.000000] c\n");
        assert_eq!(ring.records, ["6,0,1000000,-;a\n", "6,0,1000000,-;b\n", "4,0,2000000,-;c\n"]);
        ring.records.clear();
        // The oldest is gone; three are new, one of them with the time of the last.
        ring.take(b"<6>[    1.000000] b\n<4>[    2.000000] c\n<4>[    2.000000] d\n<4>[    3.000000] e\n");
        assert_eq!(ring.records, ["4,0,2000000,-;d\n", "4,0,3000000,-;e\n"]);
    }

    #[test]
    fn the_call_says_what_the_device_says() {
        if !rustix::process::geteuid().is_root() {
            println!("not run: the kernel log is read as root");
            return;
        }
        let mut ring = Ring::default();
        ring.fill().unwrap();
        let Kmsg::Device(mut file) = Kmsg::from_the_beginning().unwrap() else { panic!("no /dev/kmsg") };
        let mut text = |record: &mut [u8]| std::io::Read::read(&mut file, record).ok();
        let mut record = [0; 8192];
        let mut device = Vec::new();
        while let Some(length) = text(&mut record) {
            let line = String::from_utf8_lossy(&record[..length]).into_owned();
            let (head, message) = line.split_once(';').unwrap();
            let time: u64 = head.split(',').nth(2).unwrap().parse().unwrap();
            device.push((time, message.lines().next().unwrap().to_owned()));
        }
        let last = ring.records.back().unwrap();
        let (head, message) = last.split_once(';').unwrap();
        let time: u64 = head.split(',').nth(2).unwrap().parse().unwrap();
        let is_it = |(at, text): &(u64, String)| *at == time && text.trim_end() == message.trim_end();
        assert!(device.iter().any(is_it), "{last:?}");
    }
}
