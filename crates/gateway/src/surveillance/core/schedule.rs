//! Which patient is due when. One place of a patient is valid, the one that the patient remembers; others are passed over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Slots with their times.
#[derive(Debug, Default)]
pub(super) struct Schedule(BinaryHeap<Reverse<(i64, usize)>>);

impl Schedule {
    pub(super) fn add(&mut self, slot: usize, due_us: i64) {
        self.0.push(Reverse((due_us, slot)));
    }

    /// The next that is due now, with the time for which it was scheduled.
    pub(super) fn next(&mut self, now_us: i64) -> Option<(usize, i64)> {
        self.0.peek().filter(|Reverse((due_us, _))| *due_us <= now_us)?;
        self.0.pop().map(|Reverse((due_us, slot))| (slot, due_us))
    }
}
