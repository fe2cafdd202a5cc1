//! From ticks of the processor to nanoseconds, by the scale that Xen gives
//! (`vcpu_time_info`, xen/include/public/xen.h).
//!
//! Must not know where the ticks come from.

/// Nanoseconds in `ticks`, shifted by `shift` bits (left if positive) and multiplied by
/// `multiplier` / 2^32.
pub fn nanoseconds(ticks: u64, multiplier: u32, shift: i8) -> u64 {
    let shifted = match shift {
        0.. => ticks << shift,
        _ => ticks >> shift.unsigned_abs(),
    };
    ((u128::from(shifted) * u128::from(multiplier)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_scaled() {
        // 2 GHz: half a nanosecond a tick.
        assert_eq!(nanoseconds(2_000_000_000, 1 << 31, 0), 1_000_000_000);
        // The same by a shift to the right and a factor of 1 - 2^-32.
        assert_eq!(nanoseconds(2_000_000_000, u32::MAX, -1), 999_999_999);
        // 500 MHz.
        assert_eq!(nanoseconds(500, 1 << 31, 2), 1000);
        // A day at 4 GHz does not fit in 64 bits on the way.
        assert_eq!(nanoseconds(4_000_000_000 * 86_400, 1 << 30, 0), 86_400_000_000_000);
    }
}
