//! Why two sides cannot be compared.
//!
//! Two sides -> a [`Refusal`], or nothing. Pure. Each says which side it is about, and what to do.

use super::side::{Figure, Origin, Side};

/// Why two sides cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// They are not of one program.
    #[error(
        "A is of {a:?} and B is of {b:?}: a difference between two programs is no change of either; --any-program \
         compares them all the same"
    )]
    OtherProgram {
        /// The program of A.
        a: String,
        /// That of B.
        b: String,
    },
    /// A side has no figures.
    #[error("{side} ({name}) has no figures of memory: {hint}")]
    Empty {
        /// `A` or `B`.
        side: char,
        /// What it was asked for by.
        name: String,
        /// What to do.
        hint: &'static str,
    },
    /// They have no figure in common.
    #[error(
        "A has {a}, and B has {b}: no figure is in both; take both in the same way, as runs or as spans of history"
    )]
    NoFigure {
        /// The figures of A.
        a: String,
        /// Those of B.
        b: String,
    },
    /// They ran under different load.
    #[error(
        "A ran with {} to {} busy CPUs and B with {} to {}: their loads have too little in common; choose spans with the \
         same load", text(a[0]), text(a[1]), text(b[0]), text(b[1])
    )]
    OtherLoad {
        /// The lowest and the highest load of A.
        a: [f64; 2],
        /// Those of B.
        b: [f64; 2],
    },
}

fn text(load: f64) -> String {
    format!("{load:.2}")
}

/// Checks what can be known before anything is compared.
pub(super) fn check(a: &Side, b: &Side, takes_any_program: bool) -> Result<(), Refusal> {
    if let (Some(one), Some(other), false) = (&a.program, &b.program, takes_any_program)
        && one != other
        && a.origin == b.origin
    {
        return Err(Refusal::OtherProgram { a: one.clone(), b: other.clone() });
    }
    filled('A', a)?;
    filled('B', b)
}

pub(super) fn has(side: &Side, figure: Figure) -> bool {
    !side.samples(figure).is_empty()
}

pub(super) fn figures(side: &Side) -> String {
    side.figures.iter().map(|series| series.figure.name()).collect::<Vec<_>>().join(", ")
}

fn filled(name: char, side: &Side) -> Result<(), Refusal> {
    if !side.figures.is_empty() {
        return Ok(());
    }
    let hint = match side.origin {
        Origin::Run => "the run ended before its memory was read; run it for longer",
        Origin::History => {
            "no row of it is in that time; `memtrace advise` lists the workloads, `memtrace export rows` the times"
        }
        Origin::Look => "its processes ended, or its cgroup cannot be read; ask as root",
    };
    Err(Refusal::Empty { side: name, name: side.name.clone(), hint })
}
