//! What a topic of Vitalwire's two trees says, read without allocating. Knows no other trees.

use vitalwire_protocol::Channel;

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value of a reading, below `Pico/`.
    Value(Channel),
    /// A whole reading, `vitalwire/v1/<id>/reading`.
    Reading,
    /// The open alarms of a patient, `vitalwire/v1/<id>/alarm`.
    Alarm,
    /// What the server derived, `vitalwire/v1/<id>/derived`.
    Derived,
    /// `online` or `offline`.
    Status,
    /// The device's end of its connection: address or port.
    Peer(End),
    /// The gateway's end of the connection: address or port.
    Gateway(End),
}

/// Which half of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The IP address.
    Ip,
    /// The port.
    Port,
}

/// Splits a topic into device id and kind; `None` for topics that are not counted.
pub(crate) fn classify(topic: &str) -> Option<(&str, Kind)> {
    if let Some(rest) = topic.strip_prefix("Pico/") {
        let (id, leaf) = rest.split_once('/')?;
        let kind = match leaf {
            "Physiological_Data/Temperature" => Kind::Value(Channel::Temp),
            "Physiological_Data/Pulse_Signal" => Kind::Value(Channel::PulseSig),
            "Physiological_Data/Accelerometer/x" => Kind::Value(Channel::AccelX),
            "Physiological_Data/Accelerometer/y" => Kind::Value(Channel::AccelY),
            "Physiological_Data/Accelerometer/z" => Kind::Value(Channel::AccelZ),
            "Internal_Device_Data/Temperature/MCU" => Kind::Value(Channel::TempMcu),
            "Internal_Device_Data/Temperature/MPU" => Kind::Value(Channel::TempMpu),
            "Ip_address" => Kind::Peer(End::Ip),
            "Port_address" => Kind::Peer(End::Port),
            "Internal_Server/Ip_address" => Kind::Gateway(End::Ip),
            "Internal_Server/Port_address" => Kind::Gateway(End::Port),
            _ => return None,
        };
        return Some((id, kind));
    }
    let (id, leaf) = topic.strip_prefix("vitalwire/v1/")?.split_once('/')?;
    match leaf {
        "reading" => Some((id, Kind::Reading)),
        "alarm" => Some((id, Kind::Alarm)),
        "derived" => Some((id, Kind::Derived)),
        "status" => Some((id, Kind::Status)),
        _ => None,
    }
}

/// The number behind `"sequence":` in a reading, found without parsing the rest: 20,000 of them come each second.
pub(crate) fn sequence(payload: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"sequence\":";
    let start = payload.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let digits = payload.get(start..)?.iter().skip_while(|byte| **byte == b' ');
    let mut number: Option<u64> = None;
    for byte in digits.take_while(|byte| byte.is_ascii_digit()) {
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_eleven_topics_of_the_paper() {
        let leaves = [
            "Physiological_Data/Temperature",
            "Physiological_Data/Pulse_Signal",
            "Physiological_Data/Accelerometer/x",
            "Physiological_Data/Accelerometer/y",
            "Physiological_Data/Accelerometer/z",
            "Internal_Device_Data/Temperature/MCU",
            "Internal_Device_Data/Temperature/MPU",
            "Ip_address",
            "Port_address",
            "Internal_Server/Ip_address",
            "Internal_Server/Port_address",
        ];
        for leaf in leaves {
            let topic = format!("Pico/bed_07/{leaf}");
            assert_eq!(classify(&topic).map(|(id, _)| id), Some("bed_07"), "{topic}");
        }
        assert_eq!(classify("vitalwire/v1/bed_07/reading"), Some(("bed_07", Kind::Reading)));
        assert_eq!(classify("vitalwire/v1/bed_07/alarm"), Some(("bed_07", Kind::Alarm)));
        assert_eq!(classify("vitalwire/v1/bed_07/derived"), Some(("bed_07", Kind::Derived)));
        assert_eq!(classify("vitalwire/v1/bed_07/event"), None);
        assert_eq!(classify("other/bed_07/reading"), None);
    }

    #[test]
    fn finds_the_sequence_number() {
        assert_eq!(sequence(br#"{"time":"t","assurance":"x","sequence":42,"values":{}}"#), Some(42));
        assert_eq!(sequence(br#"{"sequence": 7}"#), Some(7));
        assert_eq!(sequence(br#"{"sequence":null}"#), None);
        assert_eq!(sequence(br#"{"sequence":99999999999999999999999}"#), None);
        assert_eq!(sequence(b"{}"), None);
    }
}
