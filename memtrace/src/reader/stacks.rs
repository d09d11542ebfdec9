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
    let frames = stacks.iter_mut().flat_map(|stack| &mut stack.frames);
    let (unnamed, places): (Vec<&mut UserFrame>, Vec<Place>) = frames
        .filter(|frame| is_unnamed(frame))
        .filter_map(|frame| {
            let place = Place { pid, path: frame.module.as_ref()?.into(), offset: frame.file_offset? };
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
