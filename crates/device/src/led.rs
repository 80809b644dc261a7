//! What the device's LED says. It decides lit or dark, and drives no pin.
//!
//! | the LED | the device |
//! | --- | --- |
//! | lit | has just started |
//! | blinks slowly, once in 2 s, half of the time lit | is in Configuration Mode |
//! | blinks fast, 5 times a second | joins its network, or connects to its server |
//! | one short flash each 2 s | delivers |
//! | N flashes, then a pause | tries again after [`Trouble`] number N |

use crate::status::{Activity, Trouble};

/// Every change of the LED lies on a multiple of so many milliseconds: looking more often shows nothing new.
pub const TICK_MS: u64 = 100;

const SLOW_MS: u64 = 2_000;
const FAST_MS: u64 = 200;
const FLASH_EVERY_MS: u64 = 2_000;
const FLASH_MS: u64 = 100;
/// A counted flash and the dark after it.
const COUNTED_MS: u64 = 400;
/// The dark after the last of them, that a person sees where counting begins.
const PAUSE_MS: u64 = 1_600;

/// Whether the LED is lit at this moment of any clock in milliseconds.
#[must_use]
pub fn is_lit(activity: Activity, trouble: Option<Trouble>, now_ms: u64) -> bool {
    match (activity, trouble) {
        (Activity::Configuring, _) => now_ms % SLOW_MS < SLOW_MS / 2,
        (Activity::Delivering, _) => now_ms % FLASH_EVERY_MS < FLASH_MS,
        (_, Some(trouble)) => {
            let flashes_ms = u64::from(trouble as u8) * COUNTED_MS;
            let at_ms = now_ms % (flashes_ms + PAUSE_MS);
            at_ms < flashes_ms && at_ms % COUNTED_MS < COUNTED_MS / 2
        }
        (Activity::Starting, None) => true,
        (Activity::Joining | Activity::Connecting, None) => now_ms % FAST_MS < FAST_MS / 2,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use super::*;

    fn pattern(activity: Activity, trouble: Option<Trouble>, ms: u64) -> String {
        (0..ms).step_by(100).map(|now_ms| if is_lit(activity, trouble, now_ms) { '#' } else { '.' }).collect()
    }

    #[test]
    fn every_activity_has_its_pattern() {
        assert_eq!(pattern(Activity::Starting, None, 600), "######");
        assert_eq!(pattern(Activity::Configuring, None, 2_400), "##########..........####");
        assert_eq!(pattern(Activity::Joining, None, 800), "#.#.#.#.");
        assert_eq!(pattern(Activity::Connecting, None, 800), "#.#.#.#.");
        assert_eq!(pattern(Activity::Delivering, None, 2_200), "#...................#.");
    }

    #[test]
    fn trouble_is_counted_in_flashes_while_the_device_tries_again() {
        let expected = "##..##..................##..##..";
        assert_eq!(pattern(Activity::Joining, Some(Trouble::WifiNotFound), 3_200), expected);
        for trouble in Trouble::ALL {
            let number = u64::from(trouble as u8);
            let shown = pattern(Activity::Connecting, Some(trouble), number * COUNTED_MS + PAUSE_MS);
            assert_eq!(shown.split('.').filter(|flash| !flash.is_empty()).count() as u64, number);
        }
        assert_eq!(
            pattern(Activity::Configuring, Some(Trouble::Wifi), 4_000),
            pattern(Activity::Configuring, None, 4_000)
        );
    }

    #[test]
    fn nothing_changes_between_ticks() {
        let activities = [Activity::Starting, Activity::Configuring, Activity::Joining, Activity::Delivering];
        for activity in activities {
            for trouble in Trouble::ALL.map(Some).into_iter().chain([None]) {
                for now_ms in 0..10_000 {
                    let tick_ms = now_ms / TICK_MS * TICK_MS;
                    assert_eq!(is_lit(activity, trouble, now_ms), is_lit(activity, trouble, tick_ms));
                }
            }
        }
    }
}
