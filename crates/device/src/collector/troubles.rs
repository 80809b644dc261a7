//! Which troubles are written to flash, and when. Everybody is told of each at once; written are few, as flash wears, and a
//! network that comes and goes all day must not wear it out.
//!
//! Eight may be written in a row, then one in ten minutes: so the next configuration page says the right thing after any ordinary
//! fault, and one of the last ten minutes when faults never end. That all is well is written when it has lasted, and never with
//! the last write that is left: that one is for a trouble. So 152 are written on the first day and 144 on each later one. The
//! store erases each of its four sectors once in 32 of the longest records or more: 100,000 erasures last 60 years.

use core::cell::RefCell;

use crate::status::Trouble;

/// Writes in a row.
const WRITES_MAX: u64 = 8;
/// In the long run there is one write in so many milliseconds.
const WRITE_EVERY_MS: u64 = 600_000;
/// The server takes values for so long, in milliseconds, before a trouble counts as over.
const OVER_MS: u64 = 30_000;

/// What the collector tells of its troubles; `None`: the server takes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleNews {
    /// It is so now.
    Now(Option<Trouble>),
    /// This should be written to flash for the configuration page, unless it is what is there.
    Keep(Option<Trouble>),
}

/// Tells of troubles.
pub(super) struct Troubles<T>(RefCell<(Ration, T)>);

impl<T: FnMut(TroubleNews)> Troubles<T> {
    pub(super) fn new(now_ms: u64, tell: T) -> Self {
        Self(RefCell::new((Ration::new(now_ms), tell)))
    }

    pub(super) fn note(&self, trouble: Option<Trouble>, now_ms: u64) {
        let (ration, tell) = &mut *self.0.borrow_mut();
        tell(TroubleNews::Now(trouble));
        ration.note(trouble, now_ms);
    }

    /// Has written what may be written by now. To be called often.
    pub(super) fn keep(&self, now_ms: u64) {
        let (ration, tell) = &mut *self.0.borrow_mut();
        if let Some(trouble) = ration.due(now_ms) {
            tell(TroubleNews::Keep(trouble));
        }
    }
}

/// How much may be written.
struct Ration {
    writes: u64,
    /// Since when the next one comes, in milliseconds.
    saving_since_ms: u64,
    now: Option<Trouble>,
    now_since_ms: u64,
    /// What was written last; `None`: nothing since the start.
    kept: Option<Option<Trouble>>,
}

impl Ration {
    fn new(now_ms: u64) -> Self {
        Self { writes: WRITES_MAX, saving_since_ms: now_ms, now: None, now_since_ms: now_ms, kept: None }
    }

    fn note(&mut self, trouble: Option<Trouble>, now_ms: u64) {
        if self.now != trouble {
            (self.now, self.now_since_ms) = (trouble, now_ms);
        }
    }

    /// What is to be written now.
    fn due(&mut self, now_ms: u64) -> Option<Option<Trouble>> {
        if self.kept == Some(self.now) {
            return None;
        }
        while self.writes < WRITES_MAX && now_ms.saturating_sub(self.saving_since_ms) >= WRITE_EVERY_MS {
            self.writes += 1;
            self.saving_since_ms += WRITE_EVERY_MS;
        }
        let may_write = match self.now {
            Some(_) => self.writes >= 1,
            None => self.writes >= 2 && now_ms.saturating_sub(self.now_since_ms) >= OVER_MS,
        };
        if !may_write {
            return None;
        }
        if self.writes == WRITES_MAX {
            self.saving_since_ms = now_ms;
        }
        self.writes -= 1;
        self.kept = Some(self.now);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    /// What is written, and when, as the troubles of `story` come, with a look each 2 s.
    fn written(story: impl Fn(u64) -> Option<Trouble>, until_ms: u64) -> Vec<(u64, Option<Trouble>)> {
        let mut ration = Ration::new(0);
        let mut written = Vec::new();
        for now_ms in (0..until_ms).step_by(2_000) {
            ration.note(story(now_ms), now_ms);
            written.extend(ration.due(now_ms).map(|trouble| (now_ms, trouble)));
        }
        written
    }

    #[test]
    fn a_trouble_is_written_at_once_and_its_end_when_it_lasts() {
        let story = |now_ms| match now_ms {
            0..10_000 => Some(Trouble::WifiNotFound),
            10_000..20_000 => Some(Trouble::WifiPassword),
            _ => None,
        };
        let (not_found, password) = (Some(Trouble::WifiNotFound), Some(Trouble::WifiPassword));
        assert_eq!(written(story, DAY_MS), [(0, not_found), (10_000, password), (50_000, None)]);
    }

    #[test]
    fn the_same_trouble_again_and_again_is_written_once() {
        let story = |now_ms: u64| (now_ms % 30_000 < 10_000).then_some(Trouble::Wifi);
        assert_eq!(written(story, DAY_MS), [(0, Some(Trouble::Wifi))]);
    }

    #[test]
    fn a_network_that_comes_and_goes_for_a_year_does_not_wear_the_flash_out() {
        for period_ms in [4_000, 20_000, 90_000, 600_000, 1_300_000] {
            let story = |now_ms: u64| match now_ms / 2_000 % (period_ms / 2_000) {
                0 => Some(Trouble::Wifi),
                1 => Some(Trouble::ServerSilent),
                _ => None,
            };
            for days in [1, 7] {
                let written = written(story, days * DAY_MS);
                assert!(written.len() as u64 <= 8 + days * 144, "{period_ms}: {} writes", written.len());
                let last_trouble = written.iter().rev().find(|(_, trouble)| trouble.is_some());
                let at_ms = last_trouble.map_or(0, |(at_ms, _)| *at_ms);
                // Twice: an end may have been written in between.
                assert!(period_ms < 90_000 || days * DAY_MS - at_ms <= 2 * 1_300_000, "{period_ms}: {at_ms}");
            }
        }
    }

    #[test]
    fn a_trouble_that_comes_after_all_writes_are_spent_is_written_ten_minutes_later_at_most() {
        let story = |now_ms: u64| match now_ms {
            0..100_000 => Trouble::from_number(u8::try_from(1 + now_ms / 2_000 % 5).unwrap()),
            _ => Some(Trouble::ServerRefuses),
        };
        let last = *written(story, DAY_MS).last().unwrap();
        assert!(last.0 <= 600_000 && last.1 == Some(Trouble::ServerRefuses), "{last:?}");
    }
}
