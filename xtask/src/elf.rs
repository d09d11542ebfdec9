//! Is a program static?
//!
//! Bytes of an ELF file -> whether it asks for a dynamic loader. Must not trust any offset in the file.

use anyhow::{Context as _, Result, bail};

const PT_INTERP: u32 = 3;

/// True for a 64-bit little-endian program without PT_INTERP: it needs no loader and no libc at run time.
pub(crate) fn is_static(file: &[u8]) -> Result<bool> {
    if file.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        bail!("failed to read the ELF header: not a 64-bit little-endian ELF file");
    }
    let table = usize::try_from(u64::from_le_bytes(at(file, 32)?))?;
    let entry_size = usize::from(u16::from_le_bytes(at(file, 54)?));
    let entries = usize::from(u16::from_le_bytes(at(file, 56)?));
    for entry in 0..entries {
        let offset = entry.checked_mul(entry_size).and_then(|o| o.checked_add(table));
        let kind = u32::from_le_bytes(at(file, offset.context("failed to read the program headers")?)?);
        if kind == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

fn at<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N]> {
    let end = offset.checked_add(N);
    let bytes = end.and_then(|end| file.get(offset..end)).and_then(|b| b.try_into().ok());
    bytes.with_context(|| format!("failed to read {N} bytes at {offset} of a {}-byte ELF file", file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and one program header of the given kind.
    fn program(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&1u16.to_le_bytes());
        file[64..68].copy_from_slice(&kind.to_le_bytes());
        file
    }

    #[test]
    fn a_program_without_an_interpreter_is_static() {
        assert!(is_static(&program(1)).unwrap());
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(!is_static(&program(PT_INTERP)).unwrap());
    }

    #[test]
    fn a_broken_file_is_an_error() {
        assert!(is_static(b"#!/bin/sh\n").is_err());
        assert!(is_static(&program(1)[..60]).is_err());
        let mut far = program(1);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(is_static(&far).is_err());
    }
}
