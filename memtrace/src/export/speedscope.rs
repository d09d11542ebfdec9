//! A profile in the form of speedscope, a viewer of flame graphs.
//!
//! [`Profile`] -> JSON of its file format (`sampled`, in bytes). Pure. The root of each stack is its process.

use std::collections::HashMap;

use serde::Serialize;

use super::profile::{COMMENTS, Profile};
use crate::{snapshot::UserFrame, units::Bytes};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: String,
    exporter: &'static str,
    shared: Shared,
    profiles: [Sampled; 1],
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: Bytes,
    /// Places of frames, the root first.
    samples: Vec<Vec<usize>>,
    weights: Vec<Bytes>,
}

#[derive(Default)]
struct Frames {
    all: Vec<Frame>,
    known: HashMap<Frame, usize>,
}

impl Frames {
    fn place(&mut self, frame: Frame) -> usize {
        let Self { all, known } = self;
        *known.entry(frame).or_insert_with_key(|frame| {
            all.push(frame.clone());
            all.len() - 1
        })
    }
}

/// The file.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn speedscope(profile: &Profile) -> serde_json::Result<Vec<u8>> {
    let mut frames = Frames::default();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for process in &profile.processes {
        let root = frames.place(Frame { name: format!("{} ({})", process.comm, process.pid), file: None });
        for (stack, bytes) in &process.stacks {
            let outer = stack.frames.iter().rev();
            let named = |frame: &UserFrame| Frame { name: name(frame), file: frame.module.clone() };
            samples.push(
                std::iter::once(root)
                    .chain(outer.map(|frame| frames.place(named(frame))))
                    .collect::<Vec<_>>(),
            );
            weights.push(*bytes);
        }
    }
    let [comment, ..] = COMMENTS;
    serde_json::to_vec(&File {
        schema: SCHEMA,
        name: format!("{}, {comment}, {}", profile.name, profile.time),
        exporter: concat!("memtrace ", env!("CARGO_PKG_VERSION")),
        shared: Shared { frames: frames.all },
        profiles: [Sampled {
            r#type: "sampled",
            name: format!("{}: {comment}", profile.name),
            unit: "bytes",
            start_value: 0,
            end_value: profile.total(),
            samples,
            weights,
        }],
    })
}

/// The function, else file and offset, else the address.
fn name(frame: &UserFrame) -> String {
    match frame {
        UserFrame { symbol: Some(symbol), .. } => symbol.clone(),
        UserFrame { module: Some(module), file_offset: Some(offset), .. } => {
            format!("{}+{offset:#x}", module.rsplit('/').next().unwrap_or(module))
        }
        UserFrame { module: Some(module), .. } => module.clone(),
        UserFrame { address, .. } => address.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::speedscope;
    use crate::export::profile::tests::profile;

    #[test]
    fn stacks_are_root_first_and_weights_add_up() {
        let profile = profile(&[(7, &[(3 << 20, &["malloc", "grow", "main"]), (5, &["grow", "main"])])]);
        let json: serde_json::Value = serde_json::from_slice(&speedscope(&profile).unwrap()).unwrap();
        let names: Vec<&str> = json["shared"]["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| frame["name"].as_str().unwrap())
            .collect();
        let one = &json["profiles"][0];
        let stack = |at: usize| -> Vec<&str> {
            let places = one["samples"][at].as_array().unwrap();
            places.iter().map(|place| names[usize::try_from(place.as_u64().unwrap()).unwrap()]).collect()
        };
        assert_eq!(stack(0), ["app (7)", "main", "grow", "malloc"]);
        assert_eq!(stack(1), ["app (7)", "main", "grow"]);
        assert_eq!(names.len(), 4, "a frame is there once");
        let weights: u64 =
            one["weights"].as_array().unwrap().iter().map(|weight| weight.as_u64().unwrap()).sum();
        assert_eq!((weights, one["endValue"].as_u64()), (profile.total().0, Some((3 << 20) + 5)));
        assert_eq!((&one["unit"], &one["type"]), (&"bytes".into(), &"sampled".into()));
    }
}
