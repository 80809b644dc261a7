//! The seven channels of a device and their names on the wire.

use core::fmt;

/// What a device measures, in the order in which real devices send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Body temperature, in degrees Celsius.
    Temp,
    /// Temperature of the microcontroller, in degrees Celsius.
    TempMcu,
    /// Pulse wave, in volts at the ADC (0..3.3); ECG in mV + 2 from the paper's simulator.
    PulseSig,
    /// Acceleration along x, in g.
    AccelX,
    /// Acceleration along y, in g.
    AccelY,
    /// Acceleration along z, in g.
    AccelZ,
    /// Temperature of the movement sensor, in degrees Celsius.
    TempMpu,
}

impl Channel {
    /// All channels, in the order of the paper's JSON; a channel's place is its [`Channel::index`].
    pub const ALL: [Self; 7] =
        [Self::Temp, Self::TempMcu, Self::PulseSig, Self::AccelX, Self::AccelY, Self::AccelZ, Self::TempMpu];

    /// The channel's key in a sample's JSON text (`Acel` is the paper's spelling).
    #[must_use]
    pub const fn json_key(self) -> &'static str {
        match self {
            Self::Temp => "Temp",
            Self::TempMcu => "TempMcu",
            Self::PulseSig => "PulseSig",
            Self::AccelX => "Acel_x",
            Self::AccelY => "Acel_y",
            Self::AccelZ => "Acel_z",
            Self::TempMpu => "TempMpu",
        }
    }

    /// The channel's place in [`Channel::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The channel of a JSON key.
    #[must_use]
    pub fn from_json_key(key: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.json_key().as_bytes() == key)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.json_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_stands_at_its_index_and_is_found_by_its_key() {
        for (index, channel) in Channel::ALL.into_iter().enumerate() {
            assert_eq!(channel.index(), index);
            assert_eq!(Channel::from_json_key(channel.json_key().as_bytes()), Some(channel));
        }
    }
}
