//! Mappings with a backing: files, modules with their data, shared memory, and those of the kernel.
//!
//! Input: regions with a backing, images of modules. Output: claims on all of them, and on modules' bss.

use std::sync::Arc;

use super::{
    Claimant, Holder, Owner,
    claim::{Claims, Piece},
};
use crate::{
    allocator::evidence::{Mark, Module, ProcessEvidence},
    mm::region::{Backing, File},
};

/// The claimant of all mappings with a backing.
pub struct Mapped;

impl Claimant for Mapped {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        let mut last: Option<(&Piece<'_>, &Module)> = None;
        for piece in pieces {
            let owner = match &piece.region.backing {
                Backing::Special(_) => Some(Owner::read(Holder::Kernel.name(), "special", 0)),
                Backing::SharedAnonymous => Some(Owner::read(Holder::Shmem.name(), "shared anonymous", 0)),
                Backing::UnknownFile => Some(Owner::read(Holder::File.name(), "unknown file", 0)),
                Backing::File(file) => Some(of_file(process, piece, file)),
                Backing::Anonymous => {
                    bss(process, piece, last, claims);
                    None
                }
                Backing::Heap | Backing::Stack => None,
            };
            if let Some(owner) = owner {
                claims.piece(piece, owner);
            }
            last = match &piece.region.backing {
                Backing::File(file) => process.module_of_file(file).map(|module| (piece, module)),
                Backing::Anonymous
                | Backing::SharedAnonymous
                | Backing::UnknownFile
                | Backing::Heap
                | Backing::Stack
                | Backing::Special(_) => None,
            };
        }
    }
}

fn of_file(process: &ProcessEvidence, piece: &Piece<'_>, file: &Arc<File>) -> Owner {
    let named = |owner: Owner| owner.of_file(Some(Arc::clone(file)));
    if let Some(kind) = shmem_kind(process, file) {
        return named(Owner::read(Holder::Shmem.name(), kind, file.inode));
    }
    if let Some(module) = process.module_of_file(file) {
        let kind = match () {
            () if piece.is_executable() => "text",
            () if piece.region.prot.is_writable() => "data",
            () => "read-only data",
        };
        return named(Owner::read(Holder::Module.name(), kind, module.base()));
    }
    let kind = if piece.region.is_shared { "shared mapping" } else { "private mapping" };
    named(Owner::read(Holder::File.name(), kind, file.inode))
}

/// Shared memory by its name, or by the device of the file.
fn shmem_kind(process: &ProcessEvidence, file: &File) -> Option<&'static str> {
    const NAMES: [(&[u8], &str); 5] = [
        (b"/memfd:", "memfd"),
        (b"/SYSV", "SysV segment"),
        (b"/dev/zero", "shared anonymous"),
        (b"/anon_hugepage", "shared anonymous"),
        (b"/dev/shm/", "tmpfs file"),
    ];
    let by_name = NAMES.iter().find(|(prefix, _)| file.path.starts_with(prefix)).map(|(_, kind)| *kind);
    by_name.or_else(|| process.tmpfs.contains(&file.device).then_some("tmpfs file"))
}

/// Data that is not in the file (bss): it is in the module's image, or, if the file could not be read, directly after
/// its last writable mapping.
fn bss(
    process: &ProcessEvidence,
    piece: &Piece<'_>,
    last: Option<(&Piece<'_>, &Module)>,
    claims: &mut Claims,
) {
    let owner = |module: &Module| {
        Owner::read(Holder::Module.name(), "bss", module.base()).of_file(Some(Arc::clone(&module.file)))
    };
    for (image, module) in process.images_in(piece.start, piece.end) {
        claims.range(image.start.max(piece.start), image.end.min(piece.end), owner(module));
    }
    let Some((before, module)) = last else { return };
    let is_behind = before.end == piece.start && before.region.prot.is_writable() && piece.is_data();
    if is_behind && !module.is_read {
        claims.piece(piece, owner(module).graded(false));
    }
}

/// The module that provides malloc, if it is not libc.
pub fn malloc_module(process: &ProcessEvidence) -> Option<&Module> {
    let is_own = |module: &&Module| {
        let marks = module.marks;
        marks.has(Mark::DefinesMalloc)
            && !marks.has(Mark::Glibc)
            && !marks.has(Mark::Loader)
            && !marks.has(Mark::Musl)
    };
    process.modules().iter().find(is_own)
}
