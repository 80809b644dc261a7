//! How often a wrong setup key may be tried, and how long to wait then. It keeps no clock; a restart of the device forgets.

/// Wrong tries before a pause, and again after each.
pub const TRIES_MAX: u8 = 5;
/// Seconds of the first pause; every further one is twice as long.
const PAUSE_S_MIN: u64 = 60;
/// Seconds of a pause, at most.
const PAUSE_S_MAX: u64 = 3_600;

/// The count of wrong tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    left: u8,
    pause_s: u64,
    closed_until_ms: u64,
}

impl Tries {
    pub(super) const fn new() -> Self {
        Self { left: TRIES_MAX, pause_s: PAUSE_S_MIN, closed_until_ms: 0 }
    }

    /// Whole seconds until a key may be tried; 0: now.
    pub(super) fn wait_s(&self, now_ms: u64) -> u64 {
        self.closed_until_ms.saturating_sub(now_ms).div_ceil(1_000)
    }

    /// The key was wrong: how many tries are left before a pause. At 0 the pause has begun.
    pub(super) fn wrong(&mut self, now_ms: u64) -> u8 {
        self.left = self.left.saturating_sub(1);
        let left = self.left;
        if left == 0 {
            self.closed_until_ms = now_ms.saturating_add(self.pause_s * 1_000);
            self.pause_s = (self.pause_s * 2).min(PAUSE_S_MAX);
            self.left = TRIES_MAX;
        }
        left
    }

    /// The key was right: it is its owner who saves.
    pub(super) fn right(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_wrong_try_begins_a_pause() {
        let mut tries = Tries::new();
        assert_eq!([1, 2, 3, 4, 5].map(|now_ms| tries.wrong(now_ms)), [4, 3, 2, 1, 0]);
        assert_eq!(tries.wait_s(5), 60);
        assert_eq!(tries.wait_s(60_004), 1);
        assert_eq!(tries.wait_s(60_005), 0);
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_a_right_key_ends_that() {
        let mut tries = Tries::new();
        let mut now_ms = 0;
        for pause_s in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            for _ in 0..TRIES_MAX {
                assert_eq!(tries.wait_s(now_ms), 0);
                tries.wrong(now_ms);
            }
            assert_eq!(tries.wait_s(now_ms), pause_s);
            now_ms += pause_s * 1_000;
        }
        tries.right();
        assert_eq!(tries.wrong(now_ms), 4);
    }
}
