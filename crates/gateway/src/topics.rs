//! The MQTT topics of a device: the paper's below `Pico/`, and ours below `vitalwire/v1/`.
//!
//! Topics are built from the authenticated identity and its profile alone, never from anything a device sent.

use std::sync::Arc;

use vitalwire_access::DeviceId;
use vitalwire_profile::{ChannelProfile, DERIVED, Profile};

/// Root of what Vitalwire adds to the paper's tree; the version changes when a payload's meaning does.
pub(crate) const ROOT: &str = "vitalwire/v1";

/// Below it, the summary of all alarms.
pub(crate) const WARD: &str = "alarms";

/// Below it, alarms that no one acknowledged for too long.
pub(crate) const ESCALATION: &str = "escalation";

/// The topics that every device has, made once a connection.
#[derive(Debug)]
pub(crate) struct DeviceTopics {
    pub(crate) id: DeviceId,
    pub(crate) reading: Arc<str>,
    pub(crate) status: Arc<str>,
    pub(crate) event: Arc<str>,
    pub(crate) alarm: Arc<str>,
    pub(crate) device_ip: Arc<str>,
    pub(crate) device_port: Arc<str>,
    pub(crate) server_ip: Arc<str>,
    pub(crate) server_port: Arc<str>,
}

impl DeviceTopics {
    pub(crate) fn new(id: &DeviceId) -> Self {
        Self {
            id: id.clone(),
            reading: format!("{ROOT}/{id}/reading").into(),
            status: format!("{ROOT}/{id}/status").into(),
            event: format!("{ROOT}/{id}/event").into(),
            alarm: format!("{ROOT}/{id}/alarm").into(),
            device_ip: format!("Pico/{id}/Ip_address").into(),
            device_port: format!("Pico/{id}/Port_address").into(),
            server_ip: format!("Pico/{id}/Internal_Server/Ip_address").into(),
            server_port: format!("Pico/{id}/Internal_Server/Port_address").into(),
        }
    }
}

/// A device's channels with their topics.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) topics: Arc<DeviceTopics>,
    pub(crate) profile: Arc<Profile>,
    /// Each moment as one JSON message.
    pub(crate) reading: Arc<str>,
    /// The server derived it: no device measured it.
    pub(crate) is_derived: bool,
    /// In the order of the profile's channels.
    channels: Box<[ChannelTopics]>,
}

/// Made once a connection, or once a device and profile for what comes out of the journal.
pub(crate) type SourceRef = Arc<Source>;

/// Where the values of a channel are published.
#[derive(Debug)]
pub(crate) struct ChannelTopics {
    /// Each value as a text.
    pub(crate) value: Option<Arc<str>>,
    /// A batch of values as one JSON message.
    pub(crate) waveform: Option<Arc<str>>,
}

impl Source {
    pub(crate) fn new(topics: &Arc<DeviceTopics>, profile: &Arc<Profile>) -> Self {
        let id = &topics.id;
        let of_channel = |channel: &ChannelProfile| ChannelTopics {
            value: channel.topic.as_ref().map(|topic| format!("Pico/{id}/{topic}").into()),
            waveform: channel.waveform.then(|| format!("{ROOT}/{id}/waveform/{}", channel.name).into()),
        };
        let channels = profile.channels().iter().map(of_channel).collect();
        let is_derived = profile.name() == DERIVED;
        let reading =
            if is_derived { format!("{ROOT}/{id}/derived").into() } else { Arc::clone(&topics.reading) };
        Self { topics: Arc::clone(topics), profile: Arc::clone(profile), reading, is_derived, channels }
    }

    /// All topics that its readings are published to.
    pub(crate) fn reading_topics(&self) -> impl Iterator<Item = &Arc<str>> {
        let of_channels = self.channels.iter().flat_map(|topics| topics.value.iter().chain(&topics.waveform));
        std::iter::once(&self.reading).chain(of_channels)
    }

    /// Each channel with its topics, in the profile's order.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (&ChannelProfile, &ChannelTopics)> {
        self.profile.channels().iter().zip(&self.channels)
    }

    pub(crate) fn channel(&self, index: u8) -> Option<(&ChannelProfile, &ChannelTopics)> {
        self.channels().find(|(channel, _)| channel.index == index)
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_protocol::Channel;

    use super::*;

    #[test]
    fn topics_are_the_papers() {
        let topics = Arc::new(DeviceTopics::new(&"iot_med_dev_01".parse().unwrap()));
        let source = Source::new(&topics, &Arc::new(Profile::builtin("pico").unwrap()));
        let values: Vec<_> =
            source.channels().map(|(_, topics)| topics.value.as_ref().unwrap().to_string()).collect();
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

    #[test]
    fn the_papers_channels_are_those_of_the_pico_profile_in_order() {
        let profile = Profile::builtin("pico").unwrap();
        let names: Vec<_> = profile.channels().iter().map(|channel| channel.name.as_str()).collect();
        let keys = Channel::ALL.map(|channel| match channel {
            Channel::Temp => "Temperature",
            Channel::TempMcu => "MCU_Temperature",
            Channel::PulseSig => "Pulse_Signal",
            Channel::AccelX => "Accelerometer/x",
            Channel::AccelY => "Accelerometer/y",
            Channel::AccelZ => "Accelerometer/z",
            Channel::TempMpu => "MPU_Temperature",
        });
        assert_eq!(names, keys);
    }
}
