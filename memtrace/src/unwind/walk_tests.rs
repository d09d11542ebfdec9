//! Walks of this thread, whose callers are known, and of invalid stacks.

use std::{
    arch::asm,
    hint::black_box,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use gimli::{EndianSlice, Expression, NativeEndian, UnwindContext};
use memtrace_common::event::stack::{LEAST_BYTES, Registers};

use crate::{
    mm::{growth::WalkedBy, maps, procfs::Procfs, region::Backing},
    symbols::{Lookup, Place},
    unwind::{
        Copy, Stack,
        entry::Entry,
        expression,
        frame::Frame,
        programs::Programs,
        tables::{self, Tables},
        walk::{Code, Walked, walk},
    },
};

/// The registers of this thread, and `len` bytes of its stack.
#[inline(never)]
fn innermost(len: usize) -> Copy {
    let (ip, sp, bp, bx, r12, r13, r14, r15): (u64, u64, u64, u64, u64, u64, u64, u64);
    // SAFETY: it only reads registers and writes its outputs.
    unsafe {
        asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", "mov {}, rbx", out(reg) ip, out(reg) sp, out(reg) bp,
            out(reg) bx, options(nomem, nostack, preserves_flags));
        asm!("mov {}, r12", "mov {}, r13", "mov {}, r14", "mov {}, r15", out(reg) r12, out(reg) r13, out(reg) r14,
            out(reg) r15, options(nomem, nostack, preserves_flags));
    }
    let registers = Registers { ip, sp, bp, bx, r12, r13, r14, r15 };
    let mut bytes = vec![0; len];
    std::fs::File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, sp).unwrap();
    Copy { registers, base: sp, bytes: bytes.into() }
}

#[inline(never)]
fn middle(len: usize) -> Copy {
    black_box(innermost(black_box(len)))
}

#[inline(never)]
fn outermost(len: usize) -> Copy {
    black_box(middle(black_box(len)))
}

/// A test itself may be inlined into what runs it.
#[inline(never)]
fn caller(len: usize) -> Copy {
    black_box(outermost(black_box(len)))
}

/// The functions of a walk; return addresses are looked up one byte before.
fn names(walked: &Walked) -> Vec<Option<String>> {
    let regions = maps::read(&Procfs::new("/proc"), std::process::id()).unwrap().regions;
    let place = |(index, ip): (usize, &u64)| {
        let at = ip - u64::from(index > 0);
        let region = regions.iter().find(|region| (region.start..region.end).contains(&at)).unwrap();
        let Backing::File(file) = &region.backing else { panic!("{region:?}") };
        let path = PathBuf::from(String::from_utf8(file.path.clone()).unwrap());
        Place { pid: std::process::id(), path, offset: at - region.start + region.offset, inode: None }
    };
    let places = walked.frames.iter().enumerate().map(place).collect();
    Lookup::new(Path::new("/proc")).names(places)
}

fn programs() -> Programs {
    Programs::new(Procfs::new("/proc"))
}

#[test]
fn the_callers_of_this_thread_are_found_in_their_order() {
    let walked = programs().walk(std::process::id(), &caller(8192), None);
    assert_eq!(walked.walked_by, WalkedBy::Tables);
    let names = names(&walked);
    for (name, function) in names.iter().zip(["innermost", "middle", "outermost", "caller"]) {
        assert!(name.as_ref().is_some_and(|name| name.contains(function)), "{function}: {names:?}");
    }
}

#[test]
fn a_short_copy_gives_the_nearest_callers() {
    let mut programs = programs();
    let copy = outermost(8192);
    let whole = programs.walk(std::process::id(), &copy, None);
    let mut most = 0;
    for len in (0..=copy.bytes.len()).step_by(LEAST_BYTES) {
        let short = Copy { bytes: copy.bytes[..len].into(), ..copy.clone() };
        let walked = programs.walk(std::process::id(), &short, None);
        assert!(whole.frames.starts_with(&walked.frames), "{walked:?} of {whole:?}");
        assert!(walked.frames.len() >= most, "more bytes gave less");
        most = walked.frames.len();
    }
    assert_eq!(most, whole.frames.len());
    assert!(most > 4);
}

#[test]
fn what_is_no_code_has_no_callers() {
    let copy = outermost(8192);
    let nowhere = Copy { registers: Registers { ip: 8, ..copy.registers }, ..copy };
    let walked = programs().walk(std::process::id(), &nowhere, None);
    assert_eq!(walked, Walked { frames: vec![8], walked_by: WalkedBy::FramePointers });
    let gone = programs().walk(u32::MAX, &outermost(8192), None);
    assert_eq!(gone.frames.len(), 1);
}

#[test]
fn an_expression_that_loops_ends() {
    let frame = Frame::new(&Registers { sp: 16, ..Registers::default() });
    let stack = Stack { base: 16, bytes: &7_u64.to_ne_bytes() };
    let value = |bytes: &[u8]| {
        let expression = Expression(EndianSlice::new(bytes, NativeEndian));
        expression::value(expression, None, |register| frame.get(register), &stack)
    };
    // DW_OP_breg7 0; DW_OP_deref: the word at the stack pointer.
    assert_eq!(value(&[0x77, 0, 0x06]), Some(7));
    // DW_OP_skip -3: itself.
    assert_eq!(value(&[0x2f, 0xfd, 0xff]), None);
    // DW_OP_breg0 0: rax, which is not callee-saved.
    assert_eq!(value(&[0x70, 0]), None);
    // DW_OP_breg7 8; DW_OP_deref: outside the copy.
    assert_eq!(value(&[0x77, 8, 0x06]), None);
}

/// The innermost function has no tables and keeps nothing on the stack: its caller is where the stack pointer is, if that is
/// inside of a function.
#[test]
fn a_leaf_without_tables_has_its_caller_on_the_stack() {
    const LEAF: u64 = 8;
    let own = std::fs::File::open("/proc/self/exe").unwrap();
    let read = tables::of_file(&own);
    let tables = Tables::find(&read).unwrap();
    let long = |entry: &Entry| entry.range().end - entry.range().start > 16;
    let mut entries =
        tables.functions(&read).into_iter().filter_map(|function| tables.entry(&read, function).ok());
    let entry = Arc::new(entries.find(long).unwrap());
    let function = entry.range();
    let frames = |word: u64| {
        let code = |at| match at {
            LEAF => Code::Bare,
            at if function.contains(&at) => Code::Entry(Arc::clone(&entry), at),
            _ => Code::None,
        };
        let start = Registers { ip: LEAF, sp: 64, ..Registers::default() };
        let stack = Stack { base: 64, bytes: &word.to_ne_bytes() };
        walk(&start, &stack, &mut UnwindContext::new(), code).frames
    };
    assert_eq!(frames(function.start + 5), [LEAF, function.start + 5]);
    assert_eq!(frames(function.start), [LEAF], "a pointer to a function is no return address");
    assert_eq!(frames(function.end), [LEAF], "nor is one to the next function");
}

/// Programs of this machine from several linkers: every function of an index has a row.
#[test]
fn the_last_function_of_a_program_is_in_its_tables() {
    let own = std::env::current_exe().unwrap();
    let libc = maps::read(&Procfs::new("/proc"), std::process::id()).unwrap().regions.into_iter();
    let libc = libc.filter_map(|region| match region.backing {
        Backing::File(file) => Some(PathBuf::from(String::from_utf8(file.path.clone()).unwrap())),
        _ => None,
    });
    let mut files: Vec<PathBuf> = libc.chain([own]).collect();
    files.dedup();
    let mut with_tables = 0;
    for file in files {
        // Other tests map files that may be deleted by now.
        let Ok(opened) = std::fs::File::open(&file) else { continue };
        let read = tables::of_file(&opened);
        let Some(tables) = Tables::find(&read) else { continue };
        let mut context = UnwindContext::new();
        for function in tables.functions(&read) {
            let entry = tables.entry(&read, function);
            let has_row = entry.is_ok_and(|entry| entry.has_row(&mut context, function));
            assert!(has_row, "{function:#x} of {}", file.display());
            with_tables += 1;
        }
    }
    assert!(with_tables > 1000, "{with_tables}");
}
