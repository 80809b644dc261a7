//! What changed and is not on its way yet: to the registry first, and then to all who are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use vitalwire_access::DeviceId;
use vitalwire_registry::{AlarmEvent, AlarmWrite};
use vitalwire_vitals::alarm::{Alarm, Change};

use crate::alarms::{AlarmChange, AlarmError, AlarmList};
use crate::surveillance::record::Owner;

/// What is told when it is written.
#[derive(Debug)]
pub(crate) enum Told {
    Change(Arc<AlarmChange>),
    List(Arc<AlarmList>),
    Reply(Reply),
}

/// To a person, when what they asked for is done.
#[derive(Debug)]
pub(crate) enum Reply {
    Acknowledged(oneshot::Sender<Result<usize, AlarmError>>, usize),
    Silenced(oneshot::Sender<Result<(), AlarmError>>),
}

impl Reply {
    /// Says that it is done, and whether it is on the disk. Who asked may be gone.
    pub(crate) fn send(self, is_recorded: bool) {
        fn result<T>(value: T, is_recorded: bool) -> Result<T, AlarmError> {
            if is_recorded { Ok(value) } else { Err(AlarmError::NotRecorded) }
        }
        match self {
            Self::Acknowledged(answer, count) => drop(answer.send(result(count, is_recorded))),
            Self::Silenced(answer) => drop(answer.send(result((), is_recorded))),
        }
    }
}

/// What is written together, and told then, in this order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<AlarmWrite>,
    pub(crate) told: Vec<Told>,
}

#[derive(Debug)]
pub(super) struct Pending {
    batch: Batch,
    lists: BTreeSet<usize>,
    gone: Vec<DeviceId>,
    /// No two changes are of the same microsecond: by its time the registry knows one that it has.
    last_us: i64,
}

impl Pending {
    pub(super) fn new(now_us: i64) -> Self {
        Self { batch: Batch::default(), lists: BTreeSet::new(), gone: Vec::new(), last_us: now_us }
    }

    pub(super) fn note(&mut self, owner: &Owner, change: Change, now_us: i64) {
        let time_us = self.time(now_us);
        self.batch.writes.push(owner.change(&change, time_us));
        let device = owner.device.clone();
        self.batch.told.push(Told::Change(Arc::new(AlarmChange { device, time_us, change })));
    }

    /// Written, and told to no one.
    pub(super) fn note_late(&mut self, owner: &Owner, alarm: &Alarm, now_us: i64) {
        let time_us = self.time(now_us);
        self.batch.writes.extend(owner.late(alarm, time_us));
    }

    /// A pause that the end of the server ended.
    pub(super) fn end_pause(&mut self, owner: Owner, now_us: i64) {
        let time_us = self.time(now_us);
        let Owner { device, stay } = owner;
        let event = AlarmEvent::Resumed { by: String::new() };
        self.batch.writes.push(AlarmWrite { number: 0, device, stay, time_us, event });
    }

    pub(super) fn answer(&mut self, reply: Reply) {
        self.batch.told.push(Told::Reply(reply));
    }

    /// The list of this patient is to be told.
    pub(super) fn note_list(&mut self, slot: usize) {
        self.lists.insert(slot);
    }

    /// The list of a device without a patient is taken away.
    pub(super) fn note_gone(&mut self, device: DeviceId) {
        self.gone.push(device);
    }

    pub(super) fn forget(&mut self, device: &DeviceId) {
        self.batch.forget(device);
        self.gone.retain(|gone| gone != device);
    }

    pub(super) fn take(&mut self, mut list: impl FnMut(usize) -> Option<AlarmList>) -> Option<Batch> {
        let lists = std::mem::take(&mut self.lists).into_iter().filter_map(&mut list);
        let time_us = self.last_us;
        let gone = std::mem::take(&mut self.gone).into_iter();
        let gone = gone.map(|device| AlarmList { is_withdrawn: true, ..AlarmList::empty(device, time_us) });
        // A device may be gone and be back with another patient.
        let lists: Vec<_> = gone.chain(lists).map(|list| Told::List(Arc::new(list))).collect();
        let mut batch = std::mem::take(&mut self.batch);
        batch.told.extend(lists);
        (!batch.writes.is_empty() || !batch.told.is_empty()).then_some(batch)
    }

    fn time(&mut self, now_us: i64) -> i64 {
        self.last_us = now_us.max(self.last_us.saturating_add(1));
        // A clock that was set back far is followed: only the order within the last moment matters.
        if self.last_us.saturating_sub(now_us) > CLOCK_SET_BACK_US {
            self.last_us = now_us;
        }
        self.last_us
    }
}

/// More changes than this many microseconds do not come at one moment.
const CLOCK_SET_BACK_US: i64 = 1_000_000;

impl Batch {
    pub(crate) fn forget(&mut self, device: &DeviceId) {
        self.writes.retain(|write| write.device.as_ref() != Some(device));
        self.told.retain(|told| match told {
            Told::Change(change) => change.device.as_ref() != Some(device),
            Told::List(list) => list.device != *device,
            Told::Reply(_) => true,
        });
    }
}
