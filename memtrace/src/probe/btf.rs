//! The kernel's own description of its types: offsets, sizes, enumerators and tracepoint arguments by name.
//!
//! Input: BTF (`/sys/kernel/btf/vmlinux`). Output: offsets and values, `None` for what this kernel does not have. The
//! list of what memtrace needs is in `offsets`.

use std::{fs::File, io, os::fd::AsRawFd as _, path::Path};

use btf_rs::{Backend, Btf, BtfType, Member, Type};
use rustix::fs::{MemfdFlags, memfd_create};

/// The depth to which anonymous structures, typedefs and qualifiers are followed; the kernel needs less than ten.
const MAX_DEPTH: usize = 32;

/// Look-ups in one kernel's BTF.
pub struct KernelTypes {
    btf: Btf,
}

impl std::fmt::Debug for KernelTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KernelTypes")
    }
}

/// Why BTF could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not valid BTF.
    #[error(transparent)]
    Malformed(#[from] btf_rs::Error),
}

/// An argument of a tracepoint, as far as memtrace cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A pointer.
    Pointer,
    /// Anything else.
    Value,
}

impl KernelTypes {
    /// Opens a BTF file.
    ///
    /// # Errors
    /// When it cannot be read or is not BTF.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        // The other back end parses all types at once: 18 times slower and 40 MiB. But sysfs files can be mapped only
        // since 6.16, so a copy in memory is mapped.
        let mut copy = File::from(memfd_create("btf", MemfdFlags::CLOEXEC).map_err(io::Error::from)?);
        io::copy(&mut File::open(path)?, &mut copy)?;
        let copy_path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        Ok(Self { btf: Btf::from_file_with_backend(copy_path, Backend::Mmap)? })
    }

    /// Byte offset of a member, by a dotted path through nested structures; anonymous members are searched too.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut current = self.structure(structure)?;
        let mut bits = 0_u32;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let (offset, member) = self.find(&current, name, 0)?;
            bits = bits.checked_add(offset)?;
            if names.peek().is_some() {
                current = self.strip(self.btf.resolve_chained_type(&member).ok()?)?;
            }
        }
        Some(bits / 8)
    }

    /// Size of a structure in bytes.
    pub fn size(&self, structure: &str) -> Option<u32> {
        match self.structure(structure)? {
            Type::Struct(s) | Type::Union(s) => u32::try_from(s.size()).ok(),
            _ => None,
        }
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.btf.resolve_types_by_name(enumeration).ok()?.into_iter().find_map(|found| match found {
            Type::Enum(e) => e
                .members
                .iter()
                .find(|member| self.btf.resolve_name(*member).is_ok_and(|found| found == name))
                .map(|member| member.val()),
            _ => None,
        })
    }

    /// The arguments that a BTF tracepoint passes to its programs: those of `btf_trace_NAME` without the first.
    pub fn tracepoint(&self, name: &str) -> Option<Vec<Argument>> {
        let types = self.btf.resolve_types_by_name(&format!("btf_trace_{name}")).ok()?;
        let typedef = types.into_iter().find_map(|found| match found {
            Type::Typedef(typedef) => Some(typedef),
            _ => None,
        })?;
        let Type::Ptr(pointer) = self.btf.resolve_chained_type(&typedef).ok()? else { return None };
        let Type::FuncProto(proto) = self.btf.resolve_chained_type(&pointer).ok()? else { return None };
        Some(
            proto
                .parameters
                .iter()
                .skip(1)
                .map(|parameter| match self.btf.resolve_chained_type(parameter) {
                    Ok(Type::Ptr(_)) => Argument::Pointer,
                    _ => Argument::Value,
                })
                .collect(),
        )
    }

    /// True when the kernel has a function of this name that BTF describes.
    pub fn has_function(&self, name: &str) -> bool {
        self.btf
            .resolve_types_by_name(name)
            .is_ok_and(|types| types.iter().any(|found| matches!(found, Type::Func(_))))
    }

    fn structure(&self, name: &str) -> Option<Type> {
        self.btf
            .resolve_types_by_name(name)
            .ok()?
            .into_iter()
            .find(|found| matches!(found, Type::Struct(_) | Type::Union(_)))
    }

    /// The member of this name and its bit offset from the start of `parent`; searches anonymous members too.
    fn find(&self, parent: &Type, name: &str, depth: usize) -> Option<(u32, Member)> {
        let (Type::Struct(structure) | Type::Union(structure)) = parent else { return None };
        if depth > MAX_DEPTH {
            return None;
        }
        for member in &structure.members {
            match self.btf.resolve_name(member).ok()?.as_str() {
                "" => {
                    let inner = self.strip(self.btf.resolve_chained_type(member).ok()?)?;
                    if let Some((offset, found)) = self.find(&inner, name, depth + 1) {
                        return Some((member.bit_offset().checked_add(offset)?, found));
                    }
                }
                found if found == name => return Some((member.bit_offset(), member.clone())),
                _ => {}
            }
        }
        None
    }

    /// Follows typedefs and qualifiers to the type that they name.
    fn strip(&self, mut found: Type) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let chained: &dyn BtfType = match &found {
                Type::Typedef(t) => t,
                Type::Const(t) | Type::Volatile(t) | Type::Restrict(t) => t,
                _ => return Some(found),
            };
            found = self.btf.resolve_chained_type(chained).ok()?;
        }
        None
    }
}
