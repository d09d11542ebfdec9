//! Messages to systemd: ready, stopping, alive (sd_notify(3)).
//!
//! `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` -> datagrams. Without systemd nothing is sent. Must not wait:
//! the judge sends too.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// The service manager, if one started the daemon.
#[derive(Debug, Default)]
pub struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// The service manager of this process.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok();
        let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match Self::at(&place) {
            Ok(socket) => {
                let (micros, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
                let watchdog = watchdog(micros.as_deref(), pid.as_deref(), std::process::id());
                Self { socket: Some(socket), watchdog }
            }
            Err(error) => {
                tracing::warn!(%error, place = %place.display(), "failed to use the socket of the service manager");
                Self::default()
            }
        }
    }

    fn at(place: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
        let address = match place.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(place)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok((socket, address))
    }

    /// Without `WATCHDOG=1` for so long it kills the daemon; `None` if it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends a state, such as `READY=1`.
    pub fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, state, "failed to notify the service manager");
        }
    }
}

/// The watchdog's patience, if it is meant for this process.
fn watchdog(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let is_own = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let micros = micros?.parse().ok().filter(|micros| is_own && *micros > 0)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::{Duration, OsStr, SocketAddr, Systemd, UnixDatagram, watchdog};

    fn told(listener: &UnixDatagram, place: &OsStr) -> Vec<u8> {
        let systemd = Systemd { socket: Some(Systemd::at(place).unwrap()), watchdog: None };
        systemd.tell("READY=1");
        let mut said = [0; 64];
        let length = listener.recv(&mut said).unwrap();
        said[..length].to_vec()
    }

    #[test]
    fn it_is_told_at_a_path_and_at_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        assert_eq!(told(&listener, path.as_os_str()), b"READY=1");

        let name = format!("memtrace-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        assert_eq!(told(&listener, OsStr::new(&format!("@{name}"))), b"READY=1");
    }

    #[test]
    fn one_that_does_not_read_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _listener = UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd { socket: Some(Systemd::at(path.as_os_str()).unwrap()), watchdog: None };
        (0..10_000).for_each(|_| systemd.tell("WATCHDOG=1"));
    }

    #[test]
    fn the_watchdog_is_for_this_process() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(watchdog(Some("60000000"), Some("7"), 7), minute);
        assert_eq!(watchdog(Some("60000000"), None, 7), minute);
        assert_eq!(watchdog(Some("60000000"), Some("8"), 7), None, "it is meant for a parent");
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(Some("soon"), None, 7), None);
        assert_eq!(watchdog(None, Some("7"), 7), None);
    }
}
