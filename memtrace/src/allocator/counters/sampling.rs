//! Samples that are spread evenly, wherever one stops: multiples of the golden ratio (Weyl).
//!
//! A sample's number -> its place, or whether it is one. Pure.

/// The golden ratio's part behind the point, of 2^64.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the sample of this number is, of `all`.
pub fn place(number: u64, all: u64) -> u64 {
    let place = (u128::from(all) * u128::from(number.wrapping_mul(STRIDE))) >> 64;
    u64::try_from(place).unwrap_or(all)
}

/// Whether the one of this number is a sample when one in so many is.
pub const fn is_one_in(number: u64, many: u64) -> bool {
    let many = if many == 0 { 1 } else { many };
    number.wrapping_mul(STRIDE) <= u64::MAX / many
}

#[cfg(test)]
mod tests {
    use super::{is_one_in, place};

    #[test]
    fn wherever_it_stops_each_tenth_has_its_part() {
        const ALL: u64 = 1 << 40;
        for count in [20, 50, 1000] {
            let mut tenths = [0_u64; 10];
            (0..count).for_each(|number| tenths[(place(number, ALL) / ALL.div_ceil(10)) as usize] += 1);
            assert!(tenths.iter().all(|tenth| tenth.abs_diff(count / 10) <= 2), "{count}: {tenths:?}");
        }
        assert_eq!((place(0, 7), place(5, 0), place(u64::MAX, 1)), (0, 0, 0));
    }

    #[test]
    fn one_in_so_many_is() {
        for many in [1, 2, 7, 100] {
            let found = (0..10_000).filter(|number| is_one_in(*number, many)).count() as u64;
            assert!(found.abs_diff(10_000 / many) <= 3, "{found} of one in {many}");
        }
        assert!((0..100).all(|number| is_one_in(number, 0)));
    }
}
