//! What people ask for: that an alarm be acknowledged, or a patient's paused.

use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{PauseKind, Which};

use super::Core;
use crate::alarms::{AlarmError, Silence, WhichAlarms};

impl Core {
    /// Someone knows of alarms; for how many it was news.
    pub(crate) fn acknowledge(
        &mut self,
        which: &WhichAlarms,
        (by, reason): (&str, Option<&str>),
        now_us: i64,
    ) -> Result<usize, AlarmError> {
        let refused = |error: vitalwire_vitals::alarm::AskError| AlarmError::Refused(error.to_string());
        let (slot, which) = match which {
            WhichAlarms::Device(device) => {
                let slot = self.patients.find(device);
                (slot.ok_or_else(|| AlarmError::UnknownDevice(device.clone()))?, Which::All)
            }
            WhichAlarms::Number(number) if self.server.open().any(|alarm| alarm.number == *number) => {
                let which = Which::Number(*number);
                let acknowledged =
                    self.step_server(now_us, |server, step| server.acknowledge(which, by, reason, step));
                return acknowledged.map_err(refused);
            }
            WhichAlarms::Number(number) => {
                let slot = self.patients.slot_of_alarm(*number);
                (slot.ok_or(AlarmError::UnknownNumber(*number))?, Which::Number(*number))
            }
        };
        let acknowledged = self.step(slot, now_us, |patient, of| {
            patient.monitor.acknowledge(which, (by, reason), of.now_us, of.numbers, of.outcome)
        });
        acknowledged.unwrap_or(Ok(0)).map_err(refused)
    }

    /// A patient's alarms are paused, or told again.
    pub(crate) fn silence(
        &mut self,
        device: &DeviceId,
        silence: Silence,
        by: &str,
        now_us: i64,
    ) -> Result<(), AlarmError> {
        let slot = self.watched(device).ok_or_else(|| AlarmError::UnknownDevice(device.clone()))?;
        let silenced = self.step(slot, now_us, |patient, of| {
            let (monitor, now_us) = (&mut patient.monitor, of.now_us);
            match silence {
                Silence::Alarms { seconds } => {
                    monitor.pause((PauseKind::Alarm, seconds), by, now_us, of.numbers, of.outcome)
                }
                Silence::Audio { seconds } => {
                    monitor.pause((PauseKind::Audio, seconds), by, now_us, of.numbers, of.outcome)
                }
                Silence::Nothing => monitor.resume(by, now_us, of.numbers, of.outcome).map(drop),
            }
        });
        silenced.unwrap_or(Ok(())).map_err(|error| AlarmError::Refused(error.to_string()))
    }
}
