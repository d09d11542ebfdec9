//! The node's own memory.
//!
//! Input: the bytes of `/proc/meminfo` and `/proc/pressure/memory`. Output: [`Node`]; missing values are `None`.

use std::{fs, path::Path};

use crate::{cgroup::pressure, snapshot::Node, units::Bytes};

/// Reads it from a /proc.
pub fn read(proc: &Path) -> Node {
    let meminfo = fs::read(proc.join("meminfo")).unwrap_or_default();
    // Missing without CONFIG_PSI; with `psi=0` it cannot be opened.
    let pressure = fs::read(proc.join("pressure/memory")).unwrap_or_default();
    parse(&meminfo, &pressure)
}

/// `MemAvailable:   23780772 kB`
pub(crate) fn parse(meminfo: &[u8], pressure: &[u8]) -> Node {
    let (pressure_some10, pressure_full10) = pressure::parse(pressure);
    let mut node = Node { pressure_some10, pressure_full10, ..Node::default() };
    for line in meminfo.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let field = match words.next() {
            Some(b"MemTotal:") => &mut node.total_bytes,
            Some(b"MemAvailable:") => &mut node.available_bytes,
            Some(b"MemFree:") => &mut node.free_bytes,
            Some(b"SwapTotal:") => &mut node.swap_total_bytes,
            Some(b"SwapFree:") => &mut node.swap_free_bytes,
            _ => continue,
        };
        *field = words
            .next()
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .map(Bytes::from_kib);
    }
    node
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Node, Path, parse, read};

    #[test]
    fn kibibytes_become_bytes_and_junk_nothing() {
        let node = parse(b"MemTotal:       24683656 kB\nMemFree: x kB\nSwapTotal:\n\n", b"");
        assert_eq!(node, Node { total_bytes: Some(Bytes::from_kib(24_683_656)), ..Node::default() });
    }

    #[test]
    fn this_node_has_memory() {
        let node = read(Path::new("/proc"));
        assert!(node.available_bytes.unwrap() <= node.total_bytes.unwrap());
        assert!(node.free_bytes.unwrap() <= node.total_bytes.unwrap());
    }
}
