//! How many of several readings must hold, so that a test fails by luck in fewer than one of 10,000 runs.

/// What a run may fail by luck with.
const BY_LUCK: f64 = 1e-4;

/// Of so many, each of which holds with a chance of its own: fewer than this hold with a probability below [`BY_LUCK`]
/// (binomial). Of 50 with 95 %: 40.
pub fn least(count: usize, chance: f64) -> usize {
    let (mut held, mut probability, mut below) = (0, (1.0 - chance).powi(count as i32), 0.0);
    while held < count {
        below += probability;
        if below >= BY_LUCK {
            break;
        }
        probability *= (count - held) as f64 / (held + 1) as f64 * chance / (1.0 - chance);
        held += 1;
    }
    held
}

#[test]
fn fewer_than_that_is_no_luck() {
    assert_eq!([least(0, 0.95), least(1, 0.95), least(3, 0.95), least(5, 0.95)], [0, 0, 0, 2]);
    assert_eq!([least(50, 0.95), least(45, 0.95), least(50, 0.9), least(50, 0.5)], [40, 36, 36, 12]);
}
