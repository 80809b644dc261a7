//! Patients by device and by a number that stays as long as the patient is watched.

use std::collections::HashMap;

use vitalwire_access::DeviceId;

use crate::surveillance::patient::Patient;

#[derive(Default)]
pub(crate) struct Slots {
    places: Vec<Option<Patient>>,
    free: Vec<usize>,
    by_device: HashMap<DeviceId, usize>,
}

impl Slots {
    pub(super) fn insert(&mut self, patient: Patient) -> usize {
        let slot = self.free.pop().unwrap_or(self.places.len());
        self.by_device.insert(patient.device.clone(), slot);
        match self.places.get_mut(slot) {
            Some(place) => *place = Some(patient),
            None => self.places.push(Some(patient)),
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Patient> {
        let patient = self.places.get_mut(slot)?.take()?;
        self.by_device.remove(&patient.device);
        self.free.push(slot);
        Some(patient)
    }

    pub(super) fn find(&self, device: &DeviceId) -> Option<usize> {
        self.by_device.get(device).copied()
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Patient> {
        self.places.get(slot)?.as_ref()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Patient> {
        self.places.iter().flatten()
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Patient> {
        self.places.get_mut(slot)?.as_mut()
    }

    pub(super) fn slots(&self) -> Vec<usize> {
        self.by_device.values().copied().collect()
    }

    pub(super) fn devices(&self) -> impl Iterator<Item = &DeviceId> {
        self.by_device.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_device.len()
    }

    pub(super) fn slot_of_alarm(&self, number: u64) -> Option<usize> {
        self.places.iter().position(|place| {
            place
                .as_ref()
                .is_some_and(|patient| patient.monitor.alarms().open().any(|alarm| alarm.number == number))
        })
    }
}
