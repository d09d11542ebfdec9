//! Where Debian's packages come from.
//!
//! This machine's apt sources -> the address of its Debian mirror. Must not know one by itself: a machine has the
//! one that it can reach.

use std::{env, fs};

use anyhow::{Context as _, Result};

/// A mirror to use instead, for machines whose own is not Debian's or lacks an old suite.
const OVERRIDE: &str = "MEMTRACE_VM_MIRROR";
const FILES: [&str; 2] = ["/etc/apt/sources.list", "/etc/apt/sources.list.d"];

/// The mirror.
pub fn find() -> Result<String> {
    if let Ok(mirror) = env::var(OVERRIDE) {
        return Ok(mirror);
    }
    let [file, dir] = FILES;
    let mut texts = vec![fs::read_to_string(file).unwrap_or_default()];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        texts.push(fs::read_to_string(entry.path()).unwrap_or_default());
    }
    texts.iter().find_map(|text| debian_in(text)).with_context(|| {
        format!("failed to find a Debian mirror in this machine's apt sources; name one in {OVERRIDE}")
    })
}

/// `deb [signed-by=..] URI suite main` and `URIs: URI...`, the first whose path ends in /debian.
fn debian_in(sources: &str) -> Option<String> {
    let uris = sources.lines().flat_map(|line| {
        let line = line.trim();
        let words = match line.strip_prefix("URIs:") {
            Some(uris) => uris,
            None if line.starts_with("deb ") || line.starts_with("deb\t") => line,
            None => "",
        };
        words.split_whitespace().filter(|word| word.contains("://"))
    });
    let mut uris = uris.map(|uri| uri.trim_end_matches('/'));
    uris.find(|uri| uri.ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read() {
        let line = "deb http://other.test/apt x main\ndeb [arch=amd64] http://a.test/debian/ bookworm main\n";
        assert_eq!(debian_in(line).as_deref(), Some("http://a.test/debian"));
        let stanza = "Types: deb\n# http://old.test/debian\nURIs: http://a.test/debian-security http://b.test/debian\n";
        assert_eq!(debian_in(stanza).as_deref(), Some("http://b.test/debian"));
    }

    #[test]
    fn a_machine_without_one_has_none() {
        assert_eq!(
            debian_in("deb http://a.test/ubuntu noble main\n# deb http://a.test/debian x main\n"),
            None
        );
    }
}
