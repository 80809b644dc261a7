//! What the surveillance knows and decides: every patient under watch, the server's own alarms, and what is to be written and
//! told. It has no socket, no clock and no task.

mod asks;
mod pending;
mod schedule;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use vitalwire_access::DeviceId;
use vitalwire_protocol::batch::event_code;
use vitalwire_registry::{AlarmRecord, CurrentStay, Directory, StayId};
use vitalwire_vitals::alarm::{Alarm, Alarms, Change, Condition, Limits, Numbers, Step, Timing};
use vitalwire_vitals::monitor::{self, Outcome};

use self::pending::Pending;
pub(super) use self::pending::{Batch, Reply, Told};
use self::schedule::Schedule;
use self::slots::Slots;
use super::patient::{Patient, Surroundings};
use super::record::Owner;
use super::ward::Offline;
use crate::alarms::{AlarmChange, recorded_alarm};
use crate::event::{DeviceEvent, Event, ServerEvent, Status};
use crate::feed::FeedItem;
use crate::intake::Moment;
use crate::reading::Reading;

/// Patients that are stepped before others have their turn.
const TURN_PATIENTS_MAX: usize = 32;

/// See the module.
pub(super) struct Core {
    directory: Arc<Directory>,
    pub(super) patients: Slots,
    schedule: Schedule,
    turned_us: i64,
    numbers: Numbers,
    server: Alarms,
    offline: Offline,
    pending: Pending,
    outcome: Outcome,
    gathering: Vec<usize>,
    /// What was derived since the last turn, with whose it is, and whether it is live.
    pub(super) derived: Vec<(usize, Moment, bool)>,
    /// Beats since the last turn, with whose they are.
    pub(super) beats: Vec<(usize, i64)>,
    /// When people are told again of an alarm that no one acknowledges, and when others are.
    timing: Timing,
}

/// What the registry knew when the server started.
pub(super) struct Restored {
    pub(super) next_number: u64,
    pub(super) open: Vec<AlarmRecord>,
    /// Whose pause had not ended.
    pub(super) paused: Vec<StayId>,
}

impl Core {
    /// With the alarms that were open when the server ended. What has no patient any more is closed.
    pub(super) fn new(directory: Arc<Directory>, restored: Restored, timing: Timing, now_us: i64) -> Self {
        let mut core = Self {
            directory: Arc::clone(&directory),
            patients: Slots::default(),
            timing,
            schedule: Schedule::default(),
            turned_us: now_us,
            numbers: Numbers::starting_at(restored.next_number),
            server: Alarms::new(Limits::default(), timing),
            offline: Offline::default(),
            pending: Pending::new(now_us),
            outcome: Outcome::default(),
            gathering: Vec::new(),
            derived: Vec::new(),
            beats: Vec::new(),
        };
        let mut servers = Vec::new();
        let mut by_device: BTreeMap<(DeviceId, Option<StayId>), Vec<Alarm>> = BTreeMap::new();
        for record in restored.open {
            let (device, stay) = (record.device.clone(), record.stay);
            let alarm = recorded_alarm(record);
            match device {
                None => servers.push(alarm),
                Some(device) => by_device.entry((device, stay)).or_default().push(alarm),
            }
        }
        core.server = Alarms::restore(Limits::default(), timing, servers);
        for ((device, stay), alarms) in by_device {
            core.restore(device, stay, alarms, now_us);
        }
        for stay in restored.paused {
            core.pending.end_pause(stay_owner(&directory, stay), now_us);
        }
        core
    }

    fn restore(&mut self, device: DeviceId, stay: Option<StayId>, alarms: Vec<Alarm>, now_us: i64) {
        let current = self.directory.stays.get(&device).cloned();
        match current.filter(|current| Some(current.id) == stay) {
            Some(current) => {
                let slot = self.patients.insert(Patient::new(device, current, alarms, self.timing));
                self.after(slot, now_us);
                self.pending.note_list(slot);
            }
            None => {
                let owner = Owner { device: Some(device.clone()), stay };
                for alarm in alarms {
                    self.pending.note(&owner, Change::Closed(alarm), now_us);
                }
                self.pending.note_gone(device);
            }
        }
    }

    /// None of the devices that were heard of when the server ended has a connection at its start, and most come back by
    /// themselves: only those that do not within the grace, and then the delay, are alarms. So are those of patients with
    /// open alarms, which were watched as well.
    pub(super) fn expect(&mut self, heard: Vec<DeviceId>, grace: Duration, now_us: i64) {
        let grace_us = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX);
        let until_us = now_us.saturating_add(grace_us);
        let devices: BTreeSet<DeviceId> = self.patients.devices().cloned().chain(heard).collect();
        for device in devices {
            let Some(slot) = self.watched(&device) else { continue };
            self.step(slot, now_us, |patient, of| {
                patient.monitor.expect(until_us, of.now_us, of.numbers, of.outcome);
            });
        }
    }

    /// Takes what the feed tells.
    pub(super) fn take(&mut self, item: &FeedItem, now_us: i64) {
        match item {
            FeedItem::Reading(reading) => self.reading(reading, true, now_us),
            FeedItem::Status(status) => self.status(status, now_us),
            FeedItem::Event(event) => self.event(event, now_us),
            FeedItem::Alarms(_) | FeedItem::Ward(_) | FeedItem::Escalation(_) | FeedItem::Beats(_) => {}
        }
    }

    pub(super) fn reading(&mut self, reading: &Reading, is_live: bool, now_us: i64) {
        if reading.source.is_derived {
            return;
        }
        let Some(slot) = self.watched(reading.device()) else { return };
        let Self { patients, numbers, outcome, gathering, .. } = self;
        let Some(patient) = patients.get_mut(slot) else { return };
        let gathers = patient.take(reading, is_live, &mut Surroundings { now_us, numbers, outcome });
        if gathers && !std::mem::replace(&mut patient.is_gathering, true) {
            gathering.push(slot);
        }
        self.after(slot, now_us);
    }

    pub(super) fn status(&mut self, status: &Status, now_us: i64) {
        self.set_online(&status.device, status.is_online, now_us);
    }

    fn set_online(&mut self, device: &DeviceId, is_online: bool, now_us: i64) {
        let Some(slot) = self.watched(device) else { return };
        self.step(slot, now_us, |patient, of| {
            patient.monitor.status(is_online, of.now_us, of.numbers, of.outcome);
        });
    }

    /// Something was missed: who is connected and whether the journal takes readings is asked again, and the rest shows with
    /// what comes.
    pub(super) fn recover(
        &mut self,
        is_connected: impl Fn(&DeviceId) -> bool,
        is_healthy: bool,
        now_us: i64,
    ) {
        self.journal(is_healthy, now_us);
        let devices: Vec<_> = self.patients.devices().cloned().collect();
        for device in devices {
            self.set_online(&device, is_connected(&device), now_us);
        }
    }

    fn event(&mut self, event: &Event, now_us: i64) {
        match event {
            Event::Device { device, what, .. } => {
                let (Some(what), Some(slot)) = (watched_event(what), self.watched(device)) else { return };
                self.step(slot, now_us, |patient, of| {
                    patient.monitor.event(what, of.now_us, of.now_us, of.numbers, of.outcome);
                });
            }
            Event::Server {
                what: ServerEvent::JournalFull { .. } | ServerEvent::JournalFailing { .. },
                ..
            } => {
                self.journal(false, now_us);
            }
            Event::Server { what: ServerEvent::JournalBack, .. } => self.journal(true, now_us),
            Event::Server { .. } | Event::Alarm(_) => {}
        }
    }

    /// Whether the journal takes readings.
    pub(super) fn journal(&mut self, is_healthy: bool, now_us: i64) {
        self.step_server(now_us, |server, step| {
            server.technical(Condition::JournalFull, now_us, !is_healthy, step);
        });
    }

    /// Steps some patients whose samples were gathered; whether there are more.
    pub(super) fn step_gathered(&mut self, now_us: i64) -> bool {
        let rest = self.gathering.len().saturating_sub(TURN_PATIENTS_MAX);
        for slot in self.gathering.split_off(rest) {
            self.step(slot, now_us, |patient, of| {
                patient.is_gathering = false;
                patient.step_gathered(of);
            });
        }
        rest > 0
    }

    /// Steps what is due: timers, and devices that went together.
    pub(super) fn turn(&mut self, now_us: i64) -> Option<(usize, i64)> {
        if now_us < std::mem::replace(&mut self.turned_us, now_us) {
            self.tick_all(now_us);
        }
        while let Some((slot, due_us)) = self.schedule.next(now_us) {
            let is_due = self.patients.get_mut(slot).is_some_and(|patient| {
                let is_due = patient.due_us == Some(due_us);
                patient.due_us = patient.due_us.filter(|_| !is_due);
                is_due
            });
            if is_due {
                self.step(slot, now_us, |patient, of| {
                    patient.monitor.tick(of.now_us, of.numbers, of.outcome);
                });
            }
        }
        if self.server.next_due_us().is_some_and(|due_us| due_us <= now_us) {
            self.step_server(now_us, Alarms::tick);
        }
        self.offline.told(now_us)
    }

    /// The clock was set back: what waits in the schedule for its old times waits for no longer than it would from now on.
    fn tick_all(&mut self, now_us: i64) {
        for slot in self.patients.slots() {
            self.step(slot, now_us, |patient, of| patient.monitor.tick(of.now_us, of.numbers, of.outcome));
        }
        self.step_server(now_us, Alarms::tick);
    }

    /// Follows the registry: who is watched, and by which limits.
    pub(super) fn follow(&mut self, directory: Arc<Directory>, now_us: i64) {
        self.directory = directory;
        for slot in self.patients.slots() {
            let Some(patient) = self.patients.get_mut(slot) else { continue };
            match self.directory.stays.get(&patient.device).cloned() {
                Some(current) if Arc::ptr_eq(&current, &patient.stay) => {}
                Some(current) if current.id == patient.stay.id => self.set_limits(slot, current, now_us),
                Some(current) => self.begin_stay(slot, current, now_us),
                None => self.end(slot, now_us),
            }
        }
    }

    fn set_limits(&mut self, slot: usize, current: Arc<CurrentStay>, now_us: i64) {
        self.step(slot, now_us, |patient, of| {
            patient.monitor.set_limits(current.limits, of.now_us, of.numbers, of.outcome);
            patient.stay = current;
        });
        self.pending.note_list(slot);
    }

    /// Another patient wears the device from now on. What was open of the one before is closed.
    fn begin_stay(&mut self, slot: usize, current: Arc<CurrentStay>, now_us: i64) {
        self.close(slot, now_us, current.limits);
        self.beats.retain(|(of, _)| *of != slot);
        if let Some(patient) = self.patients.get_mut(slot) {
            patient.stay = current;
        }
        self.after(slot, now_us);
        self.pending.note_list(slot);
    }

    /// No one is watched by the device any more.
    fn end(&mut self, slot: usize, now_us: i64) {
        self.close(slot, now_us, Limits::default());
        self.outcome = Outcome::default();
        self.forget_derived(slot);
        if let Some(patient) = self.patients.remove(slot) {
            self.pending.note_gone(patient.device);
        }
    }

    /// Closes what is open of the present stay; what is wrong with the device remains to be said of the next.
    fn close(&mut self, slot: usize, now_us: i64, limits: Limits) {
        let Self { patients, numbers, outcome, pending, .. } = self;
        let Some(patient) = patients.get_mut(slot) else { return };
        patient.monitor.end_stay(limits, now_us, numbers, outcome);
        let owner = Owner { device: Some(patient.device.clone()), stay: Some(patient.stay.id) };
        let (closed, rest) = std::mem::take(&mut outcome.changes)
            .into_iter()
            .partition(|change| matches!(change, Change::Closed(_) | Change::Ended(_)));
        outcome.changes = rest;
        let closed: Vec<Change> = closed;
        closed.into_iter().for_each(|change| pending.note(&owner, change, now_us));
        outcome.late.drain(..).for_each(|alarm| pending.note_late(&owner, &alarm, now_us));
    }

    /// Nothing of an erased device is watched, written or told any more.
    pub(super) fn forget(&mut self, device: &DeviceId) {
        if let Some(slot) = self.patients.find(device) {
            self.patients.remove(slot);
            self.forget_derived(slot);
        }
        self.pending.forget(device);
    }

    fn forget_derived(&mut self, slot: usize) {
        self.derived.retain(|(of, ..)| *of != slot);
        self.beats.retain(|(of, _)| *of != slot);
    }

    /// Someone waits for the answer to what was done just now.
    pub(super) fn answer(&mut self, reply: Reply) {
        self.pending.answer(reply);
    }

    /// What is to be written and told; nothing when nothing changed.
    pub(super) fn batch(&mut self, now_us: i64) -> Option<Batch> {
        let Self { patients, pending, .. } = self;
        pending.take(|slot| patients.get_mut(slot).map(|patient| patient.list(now_us)))
    }

    /// Whether a device's list is not empty.
    pub(super) fn has_open(&self, device: &DeviceId) -> bool {
        let patient = self.patients.find(device).and_then(|slot| self.patients.get(slot));
        patient.is_some_and(|patient| patient.monitor.alarms().open().len() > 0)
    }

    /// For every open alarm that was escalated and that no one acknowledged.
    pub(super) fn escalated(&self) -> Vec<AlarmChange> {
        let calling = |patient: &Patient| {
            let device = patient.device.clone();
            let escalated = patient.monitor.alarms().open();
            let escalated = escalated.filter(|alarm| alarm.escalated_us.is_some() && alarm.is_calling());
            let change = |alarm: &Alarm| AlarmChange {
                device: Some(device.clone()),
                time_us: alarm.escalated_us.unwrap_or_default(),
                change: Change::Escalated(alarm.clone()),
            };
            escalated.map(change).collect::<Vec<_>>()
        };
        self.patients.all().flat_map(calling).collect()
    }

    /// The server's own open alarms.
    pub(super) fn servers(&self) -> Vec<Alarm> {
        self.server.open().cloned().collect()
    }

    /// The place of a device under watch. One that has a patient comes under watch when something of it is heard.
    fn watched(&mut self, device: &DeviceId) -> Option<usize> {
        if let Some(slot) = self.patients.find(device) {
            return Some(slot);
        }
        let stay = Arc::clone(self.directory.stays.get(device)?);
        Some(self.patients.insert(Patient::new(device.clone(), stay, Vec::new(), self.timing)))
    }

    fn step<T>(
        &mut self,
        slot: usize,
        now_us: i64,
        act: impl FnOnce(&mut Patient, &mut Surroundings<'_>) -> T,
    ) -> Option<T> {
        let Self { patients, numbers, outcome, .. } = self;
        let patient = patients.get_mut(slot)?;
        let acted = act(patient, &mut Surroundings { now_us, numbers, outcome });
        self.after(slot, now_us);
        Some(acted)
    }

    /// Takes what a step of a patient said, and schedules the next tick.
    fn after(&mut self, slot: usize, now_us: i64) {
        let Self { patients, outcome, pending, schedule, offline, derived, beats, .. } = self;
        let Some(patient) = patients.get_mut(slot) else { return };
        for second in outcome.derived.drain(..) {
            derived.extend(patient.moment(&second).map(|moment| (slot, moment, second.is_live)));
        }
        beats.extend(outcome.beats.drain(..).map(|time_us| (slot, time_us)));
        if !outcome.changes.is_empty() || !outcome.late.is_empty() {
            let owner = Owner { device: Some(patient.device.clone()), stay: Some(patient.stay.id) };
            for change in outcome.changes.drain(..) {
                if matches!(&change, Change::Raised(alarm) if alarm.condition == Condition::DeviceOffline) {
                    offline.note(now_us);
                }
                pending.note(&owner, change, now_us);
                pending.note_list(slot);
            }
            outcome.late.drain(..).for_each(|alarm| pending.note_late(&owner, &alarm, now_us));
        }
        // One that is scheduled too early is scheduled again then: that is cheaper than for each step.
        if let Some(due_us) = patient.monitor.next_due_us()
            && patient.due_us.is_none_or(|known| due_us < known)
        {
            patient.due_us = Some(due_us);
            schedule.add(slot, due_us);
        }
    }

    fn step_server<T>(&mut self, now_us: i64, act: impl FnOnce(&mut Alarms, &mut Step<'_>) -> T) -> T {
        let Self { server, numbers, outcome, pending, .. } = self;
        let acted = act(server, &mut Step { now_us, numbers, changes: &mut outcome.changes });
        for change in outcome.changes.drain(..) {
            pending.note(&Owner::default(), change, now_us);
        }
        acted
    }
}

/// What the monitor knows of a device's events.
fn watched_event(what: &DeviceEvent) -> Option<monitor::DeviceEvent<'_>> {
    use event_code::{BATTERY_LOW, SENSOR_FOUND, SENSOR_LOST, STARTED};
    match what {
        DeviceEvent::Told { code: STARTED, .. } => Some(monitor::DeviceEvent::Started),
        DeviceEvent::Told { code: SENSOR_LOST, text, .. } => Some(monitor::DeviceEvent::SensorLost(text)),
        DeviceEvent::Told { code: SENSOR_FOUND, text, .. } => Some(monitor::DeviceEvent::SensorFound(text)),
        DeviceEvent::Told { code: BATTERY_LOW, .. } => Some(monitor::DeviceEvent::BatteryLow),
        DeviceEvent::ClockJump { .. } => Some(monitor::DeviceEvent::ClockJump),
        DeviceEvent::ClockJumpOver { .. } => Some(monitor::DeviceEvent::ClockJumpOver),
        _ => None,
    }
}

fn stay_owner(directory: &Directory, stay: StayId) -> Owner {
    let device =
        directory.stays.iter().find(|(_, current)| current.id == stay).map(|(device, _)| device.clone());
    Owner { device, stay: Some(stay) }
}
