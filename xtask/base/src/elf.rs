//! Is a program static?
//!
//! Bytes of an ELF file -> whether it asks for a dynamic loader. Must not trust any offset in the file.

use anyhow::{Context as _, Result};
use object::{
    LittleEndian,
    elf::{FileHeader64, PT_INTERP},
    read::elf::{FileHeader as _, ProgramHeader as _},
};

/// True for a 64-bit little-endian program without PT_INTERP: it needs no loader and no libc at run time.
pub fn is_static(file: &[u8]) -> Result<bool> {
    let header = FileHeader64::<LittleEndian>::parse(file).context("failed to read the ELF header")?;
    let endian = header.endian().context("failed to read the ELF header")?;
    let programs = header.program_headers(endian, file).context("failed to read the program headers")?;
    Ok(programs.iter().all(|program| program.p_type(endian) != PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and one program header of the given kind.
    fn program(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
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
