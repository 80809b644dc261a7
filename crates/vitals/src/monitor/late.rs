//! A backlog: what it would have raised, had it come in time. It has a watch and alarms of its own, so that it touches nothing
//! that is live, and is gone when the backlog is.

use alloc::vec::Vec;

use super::watch::Watch;
use super::{Derived, Measured};
use crate::alarm::{Alarm, Alarms, Change, Limits, Numbers, Step};

/// Without a further value for so long, by the server's clock, a backlog is over.
const OVER_US: i64 = 30_000_000;

#[derive(Clone, Debug)]
pub(super) struct Late {
    watch: Watch,
    alarms: Alarms,
    /// The time of the newest value.
    time_us: i64,
    seen_us: i64,
}

impl Late {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            watch: Watch::default(),
            alarms: Alarms::of_the_past(limits),
            time_us: i64::MIN,
            seen_us: i64::MIN,
        }
    }

    pub(super) fn take(
        &mut self,
        measured: &Measured<'_>,
        now_us: i64,
        numbers: &mut Numbers,
        derived: &mut Vec<Derived>,
        late: &mut Vec<Alarm>,
    ) {
        (self.time_us, self.seen_us) = (measured.last_us(), now_us);
        let mut changes = Vec::new();
        let already = derived.len();
        // Numbers are given when it is over: what is not told takes none.
        let mut own = Numbers::starting_at(0);
        let mut step = Step { now_us: measured.first_us, numbers: &mut own, changes: &mut changes };
        // What the sensors are now, a backlog does not know.
        let _ = self.watch.take(measured, &mut self.alarms, &mut step, derived);
        // No one draws them now; history finds them again.
        self.watch.beats.clear();
        for value in derived.iter_mut().skip(already) {
            value.is_live = false;
        }
        let ended = changes.into_iter().filter_map(|change| match change {
            Change::Ended(alarm) => Some(late_alarm(alarm, numbers)),
            _ => None,
        });
        late.extend(ended);
    }

    pub(super) fn over_us(&self) -> i64 {
        self.seen_us.saturating_add(OVER_US)
    }

    pub(super) fn is_over(&self, now_us: i64) -> bool {
        now_us >= self.over_us() || now_us < self.seen_us
    }

    /// What had not ended by its last value is over with it.
    pub(super) fn finish(self, numbers: &mut Numbers, late: &mut Vec<Alarm>) {
        let ended_us = |alarm: &Alarm| Some(self.time_us.max(alarm.since_us));
        let lasting = self.alarms.open().filter(|alarm| alarm.is_active());
        let over = lasting.map(|alarm| Alarm { ended_us: ended_us(alarm), ..alarm.clone() });
        late.extend(over.map(|alarm| late_alarm(alarm, numbers)));
    }
}

/// No one was told of it, and no one will be.
fn late_alarm(alarm: Alarm, numbers: &mut Numbers) -> Alarm {
    let raised_us = alarm.since_us.saturating_add(i64::from(alarm.delay_s) * 1_000_000);
    Alarm { number: numbers.take(), raised_us, announced_us: None, escalated_us: None, ..alarm }
}
