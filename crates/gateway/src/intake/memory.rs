//! What the intake remembers of a device across its connections: which batches were published at once, so that one that is
//! sent again after a lost connection is not published again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vitalwire_access::DeviceId;

use crate::clock::DeviceClock;
use crate::ticket::{Delivery, Ticket};

/// Batches of a device that the journal refused before the broker had them, remembered at once. At it, what was published
/// of the device is forgotten: what it sends again is published again.
const REFUSED_MAX: usize = 4_096;

/// A batch's identity in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BatchNumber {
    pub(super) device: DeviceId,
    pub(super) boot: u64,
    pub(super) sequence: u64,
}

/// Whether a batch is to be published at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    /// It is new.
    Fresh,
    /// It was published before; the device sends it again because it was not acknowledged.
    Published,
    /// It is too old, or out of turn.
    Backlog,
}

/// What is remembered of each device. Bounded by the number of devices ever enrolled while the process runs.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<DeviceId, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    live: Option<LiveRange>,
    /// The clock of its latest boot.
    clock: Option<(u64, DeviceClock)>,
    /// What the clock of a boot has shown, in milliseconds.
    shown: Option<(u64, u64)>,
}

/// Batches of a boot that were published at once: from `first` to `last`, without gaps.
#[derive(Debug)]
struct LiveRange {
    boot: u64,
    first: u64,
    last: u64,
    /// Of these the journal refused some before the broker had them, and the broker may never get them.
    refused: BTreeMap<u64, Arc<Ticket>>,
}

impl Memory {
    pub(super) fn liveness(&self, number: &BatchNumber, is_live: bool) -> Liveness {
        let devices = self.devices();
        let live = devices.get(&number.device).and_then(|device| device.live.as_ref());
        match live.filter(|range| range.boot == number.boot) {
            Some(range) if (range.first..=range.last).contains(&number.sequence) => Liveness::Published,
            Some(range) if number.sequence < range.first => Liveness::Backlog,
            _ if !is_live => Liveness::Backlog,
            _ => Liveness::Fresh,
        }
    }

    /// The ticket of a batch that was published before and is sent again.
    pub(super) fn ticket_again(&self, number: &BatchNumber) -> Arc<Ticket> {
        let mut devices = self.devices();
        let live = devices.get_mut(&number.device).and_then(|device| device.live.as_mut());
        let refused = live
            .filter(|range| range.boot == number.boot)
            .and_then(|range| range.refused.remove(&number.sequence));
        refused.unwrap_or_else(Ticket::delivered)
    }

    /// Notes that the journal refused a batch that the broker may not have.
    pub(super) fn note_refused(&self, number: &BatchNumber, ticket: &Arc<Ticket>) {
        self.remember(&number.device, |device| {
            let Some(range) = device.live.as_mut().filter(|range| range.boot == number.boot) else { return };
            if range.refused.len() >= REFUSED_MAX {
                range.refused.retain(|_, ticket| ticket.state() != Delivery::Delivered);
            }
            if range.refused.len() >= REFUSED_MAX {
                device.live = None;
            } else if (range.first..=range.last).contains(&number.sequence) {
                range.refused.insert(number.sequence, Arc::clone(ticket));
            }
        });
    }

    /// Notes that a batch was published at once.
    pub(super) fn note_live(&self, number: &BatchNumber) {
        let BatchNumber { device, boot, sequence } = number;
        self.remember(device, |device| match &mut device.live {
            Some(range) if range.boot == *boot && range.last + 1 == *sequence => range.last = *sequence,
            live => {
                *live = Some(LiveRange {
                    boot: *boot,
                    first: *sequence,
                    last: *sequence,
                    refused: BTreeMap::new(),
                })
            }
        });
    }

    /// Notes how a boot's clock was mapped.
    pub(super) fn note_clock(&self, device: &DeviceId, boot: u64, clock: DeviceClock) {
        self.remember(device, |device| device.clock = Some((boot, clock)));
    }

    /// Notes that the clock of a boot has shown this, in milliseconds.
    pub(super) fn note_shown(&self, device: &DeviceId, boot: u64, shown_ms: u64) {
        self.remember(device, |device| match &mut device.shown {
            Some((known, latest_ms)) if *known == boot => *latest_ms = shown_ms.max(*latest_ms),
            shown => *shown = Some((boot, shown_ms)),
        });
    }

    /// The latest time that the clock of this boot is known to have shown, if it is the latest boot.
    pub(super) fn shown_ms(&self, device: &DeviceId, boot: u64) -> Option<u64> {
        let (known, shown_ms) = self.devices().get(device)?.shown?;
        (known == boot).then_some(shown_ms)
    }

    /// How the clock of this boot was mapped, if it is the latest that was.
    pub(super) fn clock_of(&self, device: &DeviceId, boot: u64) -> Option<DeviceClock> {
        let (mapped, clock) = self.devices().get(device)?.clock?;
        (mapped == boot).then_some(clock)
    }

    pub(super) fn forget(&self, device: &DeviceId) {
        self.devices().remove(device);
    }

    fn remember(&self, device: &DeviceId, note: impl FnOnce(&mut Remembered)) {
        let mut devices = self.devices();
        match devices.get_mut(device) {
            Some(remembered) => note(remembered),
            None => note(devices.entry(device.clone()).or_default()),
        }
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_comes_again_is_not_live_again() {
        let memory = Memory::default();
        let of = |boot, sequence| BatchNumber { device: "d".parse().unwrap(), boot, sequence };
        let liveness = |number| memory.liveness(&number, true);
        assert_eq!(liveness(of(1, 5)), Liveness::Fresh);
        memory.note_live(&of(1, 5));
        memory.note_live(&of(1, 6));
        assert_eq!([4, 5, 6, 7].map(|n| liveness(of(1, n))), {
            use Liveness::{Backlog, Fresh, Published};
            [Backlog, Published, Published, Fresh]
        });
        assert_eq!(liveness(of(2, 5)), Liveness::Fresh, "another boot");
        assert_eq!(memory.liveness(&of(1, 7), false), Liveness::Backlog, "too old");
        // A batch that the publisher did not take leaves a hole: what came before it is no longer known.
        memory.note_live(&of(1, 8));
        assert_eq!([6, 7, 8].map(|n| liveness(of(1, n))), {
            use Liveness::{Backlog, Published};
            [Backlog, Backlog, Published]
        });
    }
}
