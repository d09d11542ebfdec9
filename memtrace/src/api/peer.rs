//! Admission on the unix socket: root, the daemon's own user, and the members of the socket's group.
//!
//! A connection -> the user and groups of the peer, recorded by the kernel at connect -> admitted or not. The socket's
//! mode says the same; this check also holds if someone changed the mode.

use std::{fs, io, os::fd::AsRawFd as _};

use tokio::net::UnixStream;

/// The group whose members are admitted.
const GROUP: &str = "memtrace";
/// The most groups of one user; the kernel allows 65,536.
const MOST_GROUPS: usize = 65_536;

/// The peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; `None` if it is outside our pid namespace.
    pub pid: Option<i32>,
    /// Effective user.
    pub uid: u32,
    /// Effective group and all supplementary ones.
    pub groups: Vec<u32>,
}

/// The users that are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The daemon's own user, besides root.
    pub own: u32,
    /// The group, if it exists.
    pub group: Option<u32>,
}

impl Admission {
    /// Whether a peer is admitted.
    pub fn admits(&self, peer: &Peer) -> bool {
        let Self { own, group } = *self;
        peer.uid == 0 || peer.uid == own || group.is_some_and(|group| peer.groups.contains(&group))
    }
}

/// The peer of a connection.
///
/// # Errors
/// When the kernel gives no peer credentials.
pub fn of(stream: &UnixStream) -> io::Result<Peer> {
    let cred = stream.peer_cred()?;
    let mut groups = groups(stream)?;
    groups.push(cred.gid());
    Ok(Peer { pid: cred.pid(), uid: cred.uid(), groups })
}

/// The supplementary groups (`SO_PEERGROUPS`, since 4.13).
#[expect(unsafe_code, reason = "this socket option has no safe form")]
fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let size = size_of::<libc::gid_t>();
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut bytes = libc::socklen_t::try_from(groups.len() * size).unwrap_or(0);
        // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the kernel writes at most `bytes`
        // bytes to `groups`, which has that size, and sets `bytes` to the size written or needed.
        let status = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = usize::try_from(bytes).unwrap_or(0) / size;
        if status == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > MOST_GROUPS {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

/// The id of the group, from `/etc/group` only, so that the daemon never waits for a directory service.
pub fn group() -> Option<u32> {
    group_in(&fs::read_to_string("/etc/group").ok()?, GROUP)
}

/// `memtrace:x:998:alice,bob`.
fn group_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::{Admission, Peer, group_in, of};

    #[test]
    fn root_the_owner_and_the_group_are_admitted() {
        let admission = Admission { own: 990, group: Some(998) };
        let admits =
            |uid, groups: &[u32]| admission.admits(&Peer { pid: None, uid, groups: groups.to_vec() });
        assert!(admits(0, &[]) && admits(990, &[]) && admits(1000, &[1000, 998]));
        assert!(!admits(1000, &[1000, 0]) && !admits(998, &[]));
        let closed = Admission { own: 0, group: None };
        assert!(!closed.admits(&Peer { pid: None, uid: 1000, groups: vec![998] }));
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\nmemtrace2:x:5:\nmemtrace:x:998:alice\nbad\n";
        assert_eq!(group_in(text, "memtrace"), Some(998));
        assert_eq!(group_in(text, "bad"), None);
    }

    #[tokio::test]
    async fn the_kernel_says_who_we_are() {
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let peer = of(&ours).unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert!(peer.groups.contains(&rustix::process::getegid().as_raw()));
        for group in rustix::process::getgroups().unwrap() {
            assert!(peer.groups.contains(&group.as_raw()));
        }
    }
}
