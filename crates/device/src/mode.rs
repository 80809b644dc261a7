//! In which mode the device starts: what the slide switch, the settings and the restart before say together. It reads no
//! pin; a moved switch or a save is a restart.

use crate::settings::Settings;

/// What the device is for until its next restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It opens a network of its own and serves the configuration page.
    Configuration,
    /// It measures and delivers.
    Collector,
}

/// The position of the slide switch, which joins one of two pins to the supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// In the configuration position.
    Configuration,
    /// In the collector position.
    Collector,
    /// In neither, as while it is moved, or there is no switch.
    Between,
}

impl Switch {
    /// The position that these levels of the two pins mean. Both at once mean nothing.
    #[must_use]
    pub fn from_pins(is_configuration: bool, is_collector: bool) -> Self {
        match (is_configuration, is_collector) {
            (true, false) => Self::Configuration,
            (false, true) => Self::Collector,
            _ => Self::Between,
        }
    }
}

/// The mode to start in. A device that was never configured can only be configured. After a save it collects although the
/// switch still is in the configuration position: `saved_just_now` is true at the restart that a save made, and where the
/// device then failed and goes on, and at no other, so that the next one that a person makes follows the switch again.
#[must_use]
pub fn choose(switch: Switch, settings: Option<&Settings>, saved_just_now: bool) -> Mode {
    match (settings, switch) {
        (None, _) => Mode::Configuration,
        (Some(_), Switch::Configuration) if !saved_just_now => Mode::Configuration,
        (Some(_), _) => Mode::Collector,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_follows_settings_switch_and_save() {
        let settings = Settings {
            server: heapless::String::try_from("10.0.0.1").unwrap(),
            port: 9_998,
            wifi_name: heapless::Vec::new(),
            wifi_password: heapless::String::new(),
        };
        let some = Some(&settings);
        for switch in [Switch::Configuration, Switch::Collector, Switch::Between] {
            for saved in [false, true] {
                assert_eq!(choose(switch, None, saved), Mode::Configuration);
            }
            assert_eq!(choose(switch, some, true), Mode::Collector);
        }
        assert_eq!(choose(Switch::Configuration, some, false), Mode::Configuration);
        assert_eq!(choose(Switch::Collector, some, false), Mode::Collector);
        assert_eq!(choose(Switch::Between, some, false), Mode::Collector);
    }

    #[test]
    fn a_switch_is_in_one_position_or_in_none() {
        assert_eq!(Switch::from_pins(true, false), Switch::Configuration);
        assert_eq!(Switch::from_pins(false, true), Switch::Collector);
        assert_eq!(Switch::from_pins(false, false), Switch::Between);
        assert_eq!(Switch::from_pins(true, true), Switch::Between);
    }
}
