//! Which batches the server refused, how often, and which of them are given up for it. In memory only: after a restart of
//! the device a batch that is still in flash is tried three times again.

use heapless::{Deque, Vec};

/// A batch that the server refused so often is given up.
pub const REFUSALS_MAX: u8 = 3;
/// Refused batches that are remembered. The server ends a connection at the first that it refuses, so there is mostly one.
/// With so many given up and not yet behind an acknowledgement, no further one is: it is sent again until one is.
const BATCHES_MAX: usize = 8;
/// Batches that were given up and no event has told of yet. When there are more, the oldest goes.
const UNTOLD_MAX: usize = 8;

/// A batch that was given up because the server refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The boot that measured it.
    pub boot: u64,
    /// Its number.
    pub sequence: u64,
    /// The server's last reason (PROTOCOL.md §4.1).
    pub code: u16,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    sequence: u64,
    times: u8,
}

/// The refusals of one boot's batches.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    boot: u64,
    batches: Vec<Batch, BATCHES_MAX>,
    untold: Deque<GivenUp, UNTOLD_MAX>,
    given_up: u64,
}

impl Refusals {
    /// Another boot's batches are delivered from now on.
    pub(super) fn deliver(&mut self, boot: u64) {
        if boot != self.boot {
            self.boot = boot;
            self.batches.clear();
        }
    }

    /// Counts a refusal. True if the batch is given up with it.
    pub(super) fn count(&mut self, sequence: u64, code: u16) -> bool {
        let Some(batch) = self.batch(sequence) else { return false };
        batch.times = batch.times.saturating_add(1);
        if batch.times != REFUSALS_MAX {
            return false;
        }
        let given_up = GivenUp { boot: self.boot, sequence, code };
        self.given_up += 1;
        if self.untold.is_full() {
            self.untold.pop_front();
        }
        // There is room now.
        let _ = self.untold.push_back(given_up);
        true
    }

    fn batch(&mut self, sequence: u64) -> Option<&mut Batch> {
        if let Some(at) = self.batches.iter().position(|batch| batch.sequence == sequence) {
            return self.batches.get_mut(at);
        }
        if self.batches.is_full() {
            // What is not given up loses no more than its count.
            let at = self.batches.iter().position(|batch| batch.times < REFUSALS_MAX)?;
            self.batches.swap_remove(at);
        }
        // There is room now.
        let _ = self.batches.push(Batch { sequence, times: 0 });
        self.batches.last_mut()
    }

    /// Whether this batch of the boot that is delivered is sent no more.
    pub(super) fn is_given_up(&self, sequence: u64) -> bool {
        self.batches.iter().any(|batch| batch.sequence == sequence && batch.times >= REFUSALS_MAX)
    }

    /// Nothing below `oldest` is held any more.
    pub(super) fn forget_below(&mut self, oldest: u64) {
        self.batches.retain(|batch| batch.sequence >= oldest);
    }

    /// Batches given up since the start.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Takes the oldest batch that was given up and no one was told of.
    pub(super) fn take_untold(&mut self) -> Option<GivenUp> {
        self.untold.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_refusal_gives_a_batch_up_and_it_is_told_once() {
        let mut refusals = Refusals::default();
        refusals.deliver(9);
        assert_eq!([1, 3, 3].map(|code| refusals.count(7, code)), [false, false, true]);
        assert!(refusals.is_given_up(7) && !refusals.is_given_up(8));
        assert!(!refusals.count(7, 3), "once");
        assert_eq!(refusals.take_untold(), Some(GivenUp { boot: 9, sequence: 7, code: 3 }));
        assert_eq!((refusals.take_untold(), refusals.given_up()), (None, 1));
        refusals.forget_below(8);
        assert!(!refusals.is_given_up(7));
    }

    #[test]
    fn another_boots_batches_are_counted_from_zero_and_what_is_untold_stays() {
        let mut refusals = Refusals::default();
        let third = (0..3).map(|_| refusals.count(7, 3)).last();
        refusals.deliver(1);
        assert!(third == Some(true) && !refusals.is_given_up(7) && !refusals.count(7, 3));
        assert_eq!(refusals.take_untold().map(|given_up| given_up.boot), Some(0));
    }

    #[test]
    fn when_all_places_are_given_up_a_further_batch_is_not_until_one_is_free() {
        let mut refusals = Refusals::default();
        let refuse = |refusals: &mut Refusals, sequence| {
            (0..3).map(|_| refusals.count(sequence, 1)).filter(|given_up| *given_up).count()
        };
        for sequence in 1..=8 {
            assert_eq!(refuse(&mut refusals, sequence), 1);
        }
        assert_eq!(refuse(&mut refusals, 9), 0);
        refusals.forget_below(2);
        assert_eq!(refuse(&mut refusals, 9), 1);
        // More than are told of: the oldest goes.
        assert_eq!(refusals.take_untold().map(|given_up| given_up.sequence), Some(2));
    }
}
