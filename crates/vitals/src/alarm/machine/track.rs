//! For how long a condition has lasted, by times that may jump.

use crate::alarm::condition::Priority;

/// Values further apart say nothing of the time between them: the delay starts again.
const GAP_US_MAX: i64 = 600_000_000;

/// Follows one condition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Track {
    /// When the condition began, as it is shown.
    since_us: i64,
    /// The same for the delay: moved along when the time jumps. Nothing while the condition is not there.
    began_us: Option<i64>,
    /// When the value went beyond the extreme limit.
    extreme_us: Option<i64>,
    /// It waits for no delay, and is as urgent as this at least.
    urgent: Option<Priority>,
    /// The time of the newest value.
    seen_us: i64,
}

impl Track {
    /// A condition that lasted before a restart.
    pub(super) fn lasting_since(since_us: i64) -> Self {
        Self { since_us, began_us: Some(since_us), extreme_us: None, urgent: None, seen_us: since_us }
    }

    /// A value has this time. What lasted up to a jump still lasts behind it, and not longer for it.
    pub(super) fn at(&mut self, time_us: i64) {
        let passed_us = time_us.saturating_sub(self.seen_us);
        if passed_us < 0 {
            self.shift(passed_us);
        } else if passed_us > GAP_US_MAX {
            self.began_us = self.began_us.map(|_| time_us);
            self.extreme_us = self.extreme_us.map(|_| time_us);
        }
        self.seen_us = time_us;
    }

    /// Its clock was set by so much.
    pub(super) fn shift(&mut self, by_us: i64) {
        for time_us in [&mut self.began_us, &mut self.extreme_us] {
            *time_us = time_us.map(|time_us| time_us.saturating_add(by_us));
        }
    }

    /// The condition is there; `base_us` is the time by which its delay counts.
    pub(super) fn begin(&mut self, since_us: i64, base_us: i64) {
        if self.began_us.is_none() {
            (self.since_us, self.began_us) = (since_us, Some(base_us));
        }
    }

    /// The value is, or is not, beyond the extreme limit.
    pub(super) fn set_extreme(&mut self, time_us: i64, is_extreme: bool) {
        self.extreme_us = is_extreme.then(|| self.extreme_us.unwrap_or(time_us));
    }

    /// The condition is there, and no delay is waited for.
    pub(super) fn set_urgent(&mut self, priority: Priority) {
        self.urgent = self.urgent.max(Some(priority));
    }

    pub(super) fn urgent(&self) -> Option<Priority> {
        self.urgent
    }

    /// The condition is not there.
    pub(super) fn end(&mut self) {
        (self.began_us, self.extreme_us, self.urgent) = (None, None, None);
    }

    pub(super) fn since_us(&self) -> i64 {
        self.since_us
    }

    pub(super) fn is_extreme(&self) -> bool {
        self.extreme_us.is_some()
    }

    /// How long ago the newest value was.
    pub(super) fn unseen_us(&self, time_us: i64) -> i64 {
        time_us.saturating_sub(self.seen_us)
    }

    /// When the delay is over; nothing while the condition is not there.
    pub(super) fn due_us(&self, delay_us: i64) -> Option<i64> {
        self.began_us.map(|began_us| began_us.saturating_add(delay_us))
    }

    /// The same for the extreme limit.
    pub(super) fn extreme_due_us(&self, delay_us: i64) -> Option<i64> {
        self.extreme_us.map(|began_us| began_us.saturating_add(delay_us))
    }
}
