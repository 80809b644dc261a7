//! Which channels alarms are decided by.

use vitalwire_profile::{ChannelProfile, DERIVED, Wave};
use vitalwire_vitals::monitor::Quantity;
use vitalwire_vitals::wave::WaveKind;

use super::Page;

/// LOINC: body temperature, and heart rate.
const BODY_TEMPERATURE: &str = "8310-5";
const HEART_RATE: &str = "8867-4";

/// What a device's channel measures, as far as it is watched.
pub(crate) fn quantity(channel: &ChannelProfile) -> Option<Quantity> {
    match (channel.wave, channel.loinc.as_deref()) {
        (Some(Wave::Ecg), _) => Some(Quantity::Wave(WaveKind::Ecg)),
        (Some(Wave::Ppg), _) => Some(Quantity::Wave(WaveKind::Ppg)),
        (None, Some(BODY_TEMPERATURE)) => Some(Quantity::Temperature),
        (None, Some(HEART_RATE)) => Some(Quantity::Rate),
        (None, _) => None,
    }
}

impl Page<'_> {
    /// What the channel measures, as far as it is watched. What the server itself derived is not.
    #[must_use]
    pub fn quantity(&self) -> Option<Quantity> {
        quantity(self.channel).filter(|_| self.profile != DERIVED)
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_profile::Profile;

    use super::*;

    #[test]
    fn a_wave_a_temperature_and_a_rate_are_watched_and_the_rest_is_not() {
        let watched = |name: &str| -> Vec<(String, Quantity)> {
            let profile = Profile::builtin(name).unwrap();
            let channels = profile.channels().iter();
            channels.filter_map(|channel| Some((channel.name.clone(), quantity(channel)?))).collect()
        };
        let of = |name: &str, quantity| (name.to_owned(), quantity);
        let ppg = of("Pulse_Signal", Quantity::Wave(WaveKind::Ppg));
        assert_eq!(watched("pico"), [of("Temperature", Quantity::Temperature), ppg]);
        assert!(watched("ecg").contains(&of("Pulse_Signal", Quantity::Wave(WaveKind::Ecg))));
    }
}
