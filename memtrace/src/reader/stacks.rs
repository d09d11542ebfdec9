//! Names of the functions in call stacks.
//!
//! Stacks with files and offsets, and who knows names -> the same stacks with names.

use crate::{
    snapshot::{GrowthStack, UserFrame},
    symbols::Place,
};

/// Whether a name could still be found for a frame.
pub fn is_unnamed(frame: &UserFrame) -> bool {
    frame.symbol.is_none() && frame.module.is_some() && frame.file_offset.is_some()
}

/// Sets the names of the frames that have none, from the files as this process sees them.
pub fn name(pid: u32, stacks: &mut [GrowthStack], names: impl FnOnce(Vec<Place>) -> Vec<Option<String>>) {
    set(stacks, names, |frame| place(pid, frame, None));
}

/// The same from the files of another process than the one whose stacks these are: from those of the same inode.
pub fn name_elsewhere(
    pid: u32,
    stacks: &mut [GrowthStack],
    names: impl FnOnce(Vec<Place>) -> Vec<Option<String>>,
) {
    set(stacks, names, |frame| place(pid, frame, Some(frame.inode?)));
}

fn place(pid: u32, frame: &UserFrame, inode: Option<u64>) -> Option<Place> {
    Some(Place { pid, path: frame.module.as_ref()?.into(), offset: frame.file_offset?, inode })
}

fn set(
    stacks: &mut [GrowthStack],
    names: impl FnOnce(Vec<Place>) -> Vec<Option<String>>,
    place: impl Fn(&UserFrame) -> Option<Place>,
) {
    let frames = stacks.iter_mut().flat_map(|stack| &mut stack.frames);
    let (unnamed, places): (Vec<&mut UserFrame>, Vec<Place>) = frames
        .filter(|frame| is_unnamed(frame))
        .filter_map(|frame| {
            let place = place(frame)?;
            Some((frame, place))
        })
        .unzip();
    if places.is_empty() {
        return;
    }
    for (frame, name) in unnamed.into_iter().zip(names(places)) {
        frame.symbol = name;
    }
}
