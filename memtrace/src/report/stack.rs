//! Selects the frames of a stack that are shown.
//!
//! Frames as recorded -> lines. The record keeps all of them.

use crate::{
    oom::record::{Frame, OomRecord},
    snapshot::{GrowthStack, UserFrame},
};

/// The most lines of one stack.
const SHOWN: usize = 12;
/// The most functions of a stack in one line.
const CALLERS: usize = 4;
/// Functions of the tracer's own frames: its program, and its callers in the kernel.
const OWN: [&str; 3] = ["bpf_prog_", "bpf_trace_run", "__traceiter"];
/// The function that marks the victim: all inner frames belong to the tracer.
const MARK: &str = "mark_oom_victim";

/// The kernel frames from the mark outwards, without the tracer's own.
pub(super) fn kernel(frames: &[Frame]) -> &[Frame] {
    let start = frames
        .iter()
        .position(|frame| function(frame) == Some(MARK))
        .or_else(|| frames.iter().position(|frame| !is_own(frame)))
        .unwrap_or(frames.len());
    frames.get(start..).unwrap_or_default()
}

/// Whether the kill was requested by keyboard or /proc/sysrq-trigger, without a memory shortage.
pub(super) fn is_by_hand(record: &OomRecord) -> bool {
    record.kernel_stack.iter().any(|frame| function(frame) == Some("moom_callback"))
}

/// Whether the running task was lowering a limit (v2), which kills in the writer's context.
pub(super) fn is_limit_write(record: &OomRecord) -> bool {
    record.kernel_stack.iter().any(|frame| function(frame) == Some("memory_max_write"))
}

/// One line per frame: the function, or the address if it has no name.
pub(super) fn lines(frames: &[Frame]) -> Vec<String> {
    let text = |frame: &Frame| {
        frame.symbol.as_ref().filter(|symbol| !symbol.is_empty()).unwrap_or(&frame.address).clone()
    };
    let mut lines: Vec<String> = frames.iter().take(SHOWN).map(text).collect();
    if let Some(more @ 1..) = frames.len().checked_sub(SHOWN) {
        lines.push(format!("and {more} more in the JSON record"));
    }
    lines
}

/// A frame of a growth stack: the function; else file and offset; else the address.
pub(super) fn user_frame(frame: &UserFrame) -> String {
    let UserFrame { address, module, file_offset, symbol, inode: _ } = frame;
    let file = |module: &String| module.rsplit('/').next().unwrap_or_default().to_owned();
    match (symbol.as_ref().filter(|symbol| !symbol.is_empty()), module, file_offset) {
        (Some(symbol), ..) => symbol.clone(),
        (None, Some(module), Some(offset)) => format!("{}+{offset:#x}", file(module)),
        (None, Some(module), None) => format!("{} {address}", file(module)),
        (None, None, _) => address.clone(),
    }
}

/// The program's own functions in a growth stack, from the innermost that has a name, in one line: "remember_session <
/// handle < main". If none has a name, their places in their files; if there are none, the innermost frames.
pub(super) fn callers(stack: &GrowthStack) -> String {
    let has_names = stack.own_frame().is_some();
    let own = stack.own_frames().skip_while(|frame| has_names && frame.symbol.is_none());
    let own: Vec<String> = own.take(CALLERS).map(user_frame).collect();
    let any = || stack.frames.iter().take(CALLERS).map(user_frame).collect();
    let frames: Vec<String> = if own.is_empty() { any() } else { own };
    frames.join(" < ")
}

fn is_own(frame: &Frame) -> bool {
    frame.symbol.as_deref().is_some_and(|symbol| OWN.iter().any(|prefix| symbol.starts_with(prefix)))
}

/// The function without offset and compiler suffixes: `mark_oom_victim.part.0+0x52`.
fn function(frame: &Frame) -> Option<&str> {
    frame.symbol.as_deref()?.split(['+', '.']).next()
}

#[cfg(test)]
mod tests {
    use super::{callers, kernel, lines};
    use crate::{
        mm::growth::WalkedBy,
        oom::record::Frame,
        snapshot::{GrowthStack, UserFrame},
        store::fixture::record,
        units::Bytes,
    };

    fn frames(symbols: &[&str]) -> Vec<Frame> {
        let frame = |symbol: &&str| Frame { address: "0x1".to_owned(), symbol: Some((*symbol).to_owned()) };
        symbols.iter().map(frame).collect()
    }

    #[test]
    fn the_tracer_is_not_part_of_the_story() {
        let first = |frames: &[Frame]| kernel(frames).first().and_then(|frame| frame.symbol.clone());
        assert_eq!(first(&record(0).kernel_stack).as_deref(), Some("mark_oom_victim"));
        let suffix = frames(&["bpf_prog_1", "x", "mark_oom_victim.part.0+0x52", "out_of_memory"]);
        assert_eq!(first(&suffix).as_deref(), Some("mark_oom_victim.part.0+0x52"));
        let inlined = frames(&["bpf_prog_1", "bpf_trace_run2", "__oom_kill_process", "bpf_prog_2"]);
        assert_eq!(first(&inlined).as_deref(), Some("__oom_kill_process"));
        assert_eq!(kernel(&frames(&["bpf_prog_1"])), []);
    }

    #[test]
    fn long_stacks_say_how_much_is_missing() {
        let lines = lines(kernel(&record(0).kernel_stack));
        assert_eq!(lines.len(), 13);
        assert_eq!(lines.last().unwrap(), "and 2 more in the JSON record");
    }

    /// As the demo's program grows, without optimisation.
    #[test]
    fn the_headline_begins_with_the_program_s_own_function() {
        let functions = [
            "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "alloc::vec::from_elem",
            "xtask_base::grow::run",
            "xtask::main",
            "core::ops::function::FnOnce::call_once",
            "std::rt::lang_start::{{closure}}",
            "main",
        ];
        let frame = |function: &str| UserFrame {
            address: "0x1".to_owned(),
            module: Some("/target/debug/xtask".to_owned()),
            file_offset: Some(1),
            symbol: Some(function.to_owned()),
            inode: None,
        };
        let stack = GrowthStack {
            bytes: [Bytes(0); 3],
            walked_by: WalkedBy::default(),
            frames: functions.map(frame).to_vec(),
        };
        assert_eq!(callers(&stack), "xtask_base::grow::run < xtask::main < main");
    }
}
