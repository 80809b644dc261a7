//! Where a device's values come from: a modelled patient, or a recording with the patient beside it.

use std::sync::Arc;

use super::{FleetConfig, Signal};
use crate::patient::{Patient, PatientConfig, Waveform};
use crate::recording::Recording;

/// One device's patient. It answers for any time, so that what a device sends does not depend on how the network was.
pub(super) struct Source {
    patient: Patient,
    recording: Option<Arc<Recording>>,
}

impl Source {
    /// What the device at `place` in the fleet is on.
    pub(super) fn of(fleet: &FleetConfig, place: usize) -> Self {
        let seed = fleet.device_seed(place);
        let (mut config, recording) = match &fleet.signal {
            Signal::Modelled(waveform) => (PatientConfig::varied(seed, *waveform), None),
            Signal::Patient(config) => (config.clone(), None),
            Signal::Recording(recording) => {
                (PatientConfig::varied(seed, Waveform::default()), Some(Arc::clone(recording)))
            }
        };
        config.events.extend(fleet.events.iter().filter(|event| event.is_of(place)).map(|of| of.event));
        Self { patient: Patient::new(seed, &config), recording }
    }

    /// The values at `t` seconds, and the heart rate if it is the modelled one.
    pub(super) fn values(&self, t: f64) -> ([f64; 7], Option<f64>) {
        let mut values = self.patient.vitals(t);
        match &self.recording {
            Some(recording) => {
                recording.overlay(t, &mut values);
                (values, None)
            }
            None => (values, Some(self.patient.heart_rate_per_min(t))),
        }
    }
}
