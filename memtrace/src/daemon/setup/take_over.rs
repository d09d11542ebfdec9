//! Takes over from the last daemon: pins the own programs, detaches those that it left, and reads their rings.
//!
//! Attached programs -> the same, pinned, and the kills that nobody has stored. Where there is no bpffs, nothing is pinned,
//! and the reason is noted in the status.

use std::path::{Path, PathBuf};

use crate::{
    clock,
    daemon::kills::inherited::{self, Inherited},
    probe::{
        attach::Probes,
        pins::{self, Pins},
        status::Outliving,
    },
};

/// Where programs are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// In this bpffs.
    At(PathBuf),
    /// Nowhere: the programs are detached when the daemon ends.
    Off,
}

/// Pins the programs, and takes over what earlier daemons of this state directory left. The pins must be kept as long as
/// the daemon runs.
pub fn take_over(pinning: &Pinning, state_dir: &Path, probes: &mut Probes) -> (Option<Pins>, Inherited) {
    let opened = match pinning {
        Pinning::Off => Err("switched off".to_owned()),
        Pinning::At(bpffs) => Pins::open(bpffs, state_dir).map(|pins| (pins, bpffs)),
    };
    let (pins, bpffs) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            tracing::info!(%why, "OOM kills while no daemon runs are recorded from the kernel log only");
            probes.status.outliving = Outliving { directory: None, lost: vec![why] };
            return (None, Inherited::default());
        }
    };
    let can = pins::possible(bpffs, &probes.links).directory.is_some();
    probes.status.outliving = pins.pin(probes, clock::ktime());
    let Outliving { directory, lost } = &probes.status.outliving;
    match directory {
        Some(directory) => tracing::info!(%directory, ?lost, "OOM kills are recorded while no daemon runs"),
        // What this kernel cannot do is no failure.
        None if !can => {
            tracing::info!(?lost, "OOM kills while no daemon runs are recorded from the kernel log only");
        }
        None => tracing::warn!(
            ?lost,
            "failed to pin; OOM kills while no daemon runs are recorded from the kernel log only"
        ),
    }
    // The own programs are attached: from here on, those of earlier daemons see nothing that these do not see.
    let inherited = inherited::read(pins.take_over(&probes.status.outliving));
    (Some(pins), inherited)
}
