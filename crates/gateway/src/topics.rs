//! The MQTT topics of a device: the paper's eleven below `Pico/`, and ours below `vitalwire/v1/`.
//!
//! Topics are built from the authenticated identity alone, never from anything a device sent.

use std::sync::Arc;

use vitalwire_protocol::Channel;
use vitalwire_registry::DeviceId;

/// Root of what Vitalwire adds to the paper's tree; the version changes when a payload's meaning does.
pub(crate) const ROOT: &str = "vitalwire/v1";

/// All topics of one device, made once a connection.
#[derive(Debug)]
pub(crate) struct DeviceTopics {
    values: [Arc<str>; Channel::ALL.len()],
    pub(crate) reading: Arc<str>,
    pub(crate) status: Arc<str>,
    pub(crate) event: Arc<str>,
    pub(crate) device_ip: Arc<str>,
    pub(crate) device_port: Arc<str>,
    pub(crate) server_ip: Arc<str>,
    pub(crate) server_port: Arc<str>,
}

impl DeviceTopics {
    pub(crate) fn new(id: &DeviceId) -> Self {
        Self {
            values: Channel::ALL.map(|channel| format!("Pico/{id}/{}", suffix(channel)).into()),
            reading: format!("{ROOT}/{id}/reading").into(),
            status: format!("{ROOT}/{id}/status").into(),
            event: format!("{ROOT}/{id}/event").into(),
            device_ip: format!("Pico/{id}/Ip_address").into(),
            device_port: format!("Pico/{id}/Port_address").into(),
            server_ip: format!("Pico/{id}/Internal_Server/Ip_address").into(),
            server_port: format!("Pico/{id}/Internal_Server/Port_address").into(),
        }
    }

    /// Each channel with its topic, in the paper's order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Channel, &Arc<str>)> {
        Channel::ALL.into_iter().zip(&self.values)
    }
}

/// The paper's topic of a channel, below `Pico/<id>/`.
fn suffix(channel: Channel) -> &'static str {
    match channel {
        Channel::Temp => "Physiological_Data/Temperature",
        Channel::PulseSig => "Physiological_Data/Pulse_Signal",
        Channel::AccelX => "Physiological_Data/Accelerometer/x",
        Channel::AccelY => "Physiological_Data/Accelerometer/y",
        Channel::AccelZ => "Physiological_Data/Accelerometer/z",
        Channel::TempMcu => "Internal_Device_Data/Temperature/MCU",
        Channel::TempMpu => "Internal_Device_Data/Temperature/MPU",
    }
}

/// A channel's name in the `reading` message, and its unit (UCUM; `[g]` is UCUM's standard acceleration of
/// free fall, which is what the paper's devices send).
pub(crate) fn name_and_unit(channel: Channel) -> (&'static str, &'static str) {
    match channel {
        Channel::Temp => ("Temperature", "Cel"),
        Channel::PulseSig => ("Pulse_Signal", "V"),
        Channel::AccelX => ("Accelerometer/x", "[g]"),
        Channel::AccelY => ("Accelerometer/y", "[g]"),
        Channel::AccelZ => ("Accelerometer/z", "[g]"),
        Channel::TempMcu => ("MCU_Temperature", "Cel"),
        Channel::TempMpu => ("MPU_Temperature", "Cel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_the_papers() {
        let topics = DeviceTopics::new(&"iot_med_dev_01".parse().unwrap());
        let values: Vec<_> = topics.values().map(|(_, topic)| topic.to_string()).collect();
        assert_eq!(
            values,
            [
                "Pico/iot_med_dev_01/Physiological_Data/Temperature",
                "Pico/iot_med_dev_01/Internal_Device_Data/Temperature/MCU",
                "Pico/iot_med_dev_01/Physiological_Data/Pulse_Signal",
                "Pico/iot_med_dev_01/Physiological_Data/Accelerometer/x",
                "Pico/iot_med_dev_01/Physiological_Data/Accelerometer/y",
                "Pico/iot_med_dev_01/Physiological_Data/Accelerometer/z",
                "Pico/iot_med_dev_01/Internal_Device_Data/Temperature/MPU",
            ]
        );
        assert_eq!(&*topics.server_port, "Pico/iot_med_dev_01/Internal_Server/Port_address");
    }
}
