//! What happens to devices and to the server, for those who watch over them. The kinds, and the text for people, are made
//! here alone; PROTOCOL.md §3.2 lists them.

use std::fmt;
use std::net::SocketAddr;
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_protocol::batch::event_code;

use crate::alarms::AlarmChange;
use crate::clock::system_time;

/// A device has a connection, or has none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whose.
    pub device: DeviceId,
    /// Whether it has one.
    pub is_online: bool,
    /// The device's end of the connection.
    pub peer: SocketAddr,
    /// The server's end, where it is known.
    pub local: Option<SocketAddr>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// To a device or its connection.
    Device {
        /// Whose.
        device: DeviceId,
        /// The device's end of the connection.
        peer: SocketAddr,
        /// When.
        time: SystemTime,
        /// What.
        what: DeviceEvent,
    },
    /// To the server itself.
    Server {
        /// When.
        time: SystemTime,
        /// What.
        what: ServerEvent,
    },
    /// To an alarm.
    Alarm(AlarmChange),
}

/// What happens to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// A second connection of a device with frames came while the first still delivered.
    SecondConnectionRefused,
    /// A second connection of a device with frames came after the first had been silent.
    TakenOver,
    /// The device said so itself.
    Told {
        /// What, see `vitalwire_protocol::batch::event_code`.
        code: u16,
        /// When, by the device's clock.
        time_ms: u64,
        /// The same for people.
        text: String,
    },
    /// The device no longer holds some batches that were not taken.
    BatchesLost {
        /// It holds none below this one.
        below: u64,
        /// The last that was taken.
        last: u64,
    },
    /// From some batch on the device's clock is ahead of the time of reception.
    ClockJump {
        /// Which batch.
        sequence: u64,
    },
    /// From some batch on the device's clock is no longer ahead.
    ClockJumpOver {
        /// Which batch.
        sequence: u64,
        /// How many it was ahead of.
        batches: u64,
    },
    /// The device started again and drew a boot's number that it had before.
    BootUsedTwice {
        /// How it shows.
        detail: String,
    },
    /// The device names a profile that is not there.
    UnknownProfile {
        /// Its name and what to do.
        detail: String,
    },
    /// A batch has a channel that the profile lacks.
    UnknownChannel {
        /// Which, and of which profile.
        detail: String,
    },
    /// A message breaks a rule of the protocol.
    BadMessage {
        /// Which rule, and how.
        detail: String,
    },
}

/// What happens to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// There is no room for more entries: nothing is acknowledged.
    JournalFull {
        /// The reader that has not read the oldest entries; `None` when the disk is full.
        held_by: Option<String>,
    },
    /// The journal cannot be written: nothing is acknowledged.
    JournalFailing {
        /// What SQLite said.
        cause: String,
    },
    /// Entries are taken again.
    JournalBack,
    /// Many devices lost their connections at the same moment: the network's fault, not theirs.
    ManyOffline {
        /// How many, so far.
        devices: usize,
    },
    /// The surveillance of patients was too slow, and missed something.
    SurveillanceBehind {
        /// How many readings, statuses and events.
        missed: u64,
    },
}

/// Of an alarm's change: names and reasons are short.
const ALARM_BYTES: usize = 256;

impl Event {
    /// The stable name of what happened.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Device { what, .. } => what.kind(),
            Self::Server { what, .. } => what.kind(),
            Self::Alarm(change) => change.change.name(),
        }
    }

    /// Whose it is, if it is a device's.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Device { device, .. } => Some(device),
            Self::Server { .. } => None,
            Self::Alarm(change) => change.device.as_ref(),
        }
    }

    /// As it is published.
    pub(crate) fn to_json(&self) -> String {
        let (time, peer, detail) = match self {
            Self::Device { time, peer, what, .. } => (*time, Some(peer.to_string()), what.to_string()),
            Self::Server { time, what } => (*time, None, what.to_string()),
            Self::Alarm(change) => (system_time(change.time_us), None, change.detail()),
        };
        // `Display` of a JSON value escapes; an object of serde_json would sort its keys.
        let quoted = |text: String| serde_json::Value::from(text);
        let (kind, detail) = (self.kind(), quoted(detail));
        let time = humantime::format_rfc3339_millis(time);
        let peer = peer.map_or_else(String::new, |peer| format!(r#""peer":{},"#, quoted(peer)));
        format!(r#"{{"time":"{time}","kind":"{kind}",{peer}"detail":{detail}}}"#)
    }

    /// Writes it to the log, whose span says of which connection. What needs no one's attention is no warning.
    pub(crate) fn log(&self) {
        match self {
            Self::Device { what, .. } if what.needs_attention() => {
                tracing::warn!(kind = what.kind(), detail = %what, "device event");
            }
            Self::Device { what, .. } => {
                tracing::info!(kind = what.kind(), detail = %what, "device event");
            }
            // The journal has its own lines.
            Self::Server { what, .. } => tracing::debug!(kind = what.kind(), detail = %what, "server event"),
            // Alarms have lines of their own, and of many at once one together.
            Self::Alarm(change) => tracing::debug!(kind = change.change.name(), "alarm event"),
        }
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let text = match self {
            Self::Device { what, .. } => match what {
                DeviceEvent::Told { text, .. } => text.len(),
                DeviceEvent::UnknownProfile { detail }
                | DeviceEvent::UnknownChannel { detail }
                | DeviceEvent::BootUsedTwice { detail }
                | DeviceEvent::BadMessage { detail } => detail.len(),
                _ => 0,
            },
            Self::Server { what, .. } => match what {
                ServerEvent::JournalFull { held_by } => held_by.as_ref().map_or(0, String::len),
                ServerEvent::JournalFailing { cause } => cause.len(),
                ServerEvent::JournalBack
                | ServerEvent::ManyOffline { .. }
                | ServerEvent::SurveillanceBehind { .. } => 0,
            },
            Self::Alarm(_) => ALARM_BYTES,
        };
        size_of::<Self>() + text
    }
}

impl DeviceEvent {
    /// The stable name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SecondConnectionRefused => "second-connection-refused",
            Self::TakenOver => "connection-taken-over",
            Self::Told { .. } => "device",
            Self::BatchesLost { .. } => "batches-lost",
            Self::ClockJump { .. } => "clock-jump",
            Self::ClockJumpOver { .. } => "clock-jump-over",
            Self::BootUsedTwice { .. } => "boot-used-twice",
            Self::UnknownProfile { .. } => "unknown-profile",
            Self::UnknownChannel { .. } => "unknown-channel",
            Self::BadMessage { .. } => "bad-message",
        }
    }

    /// Whether someone should look: not when a device starts, finds a sensor, or says what only its profile knows.
    fn needs_attention(&self) -> bool {
        use event_code::{BATCH_REFUSED, BATTERY_LOW, OUTBOX_FULL, SENSOR_LOST};
        match self {
            Self::Told { code, .. } => {
                matches!(*code, SENSOR_LOST | OUTBOX_FULL | BATTERY_LOW | BATCH_REFUSED)
            }
            Self::ClockJumpOver { .. } => false,
            _ => true,
        }
    }
}

impl fmt::Display for DeviceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondConnectionRefused => f.write_str(
                "this device already has a connection that still delivers; a second one is refused (frames can be replayed)",
            ),
            Self::TakenOver => {
                f.write_str("the first connection was silent, and a newer one of the device took over")
            }
            Self::Told { code, time_ms, text } => {
                write!(f, "{} (code {code}) at {time_ms} ms: {text}", code_text(*code))
            }
            Self::BatchesLost { below, last } => {
                write!(f, "the device holds no batch below {below} any more; the last taken is {last}")
            }
            Self::ClockJump { sequence } => {
                write!(
                    f,
                    "from batch {sequence} on the device's clock is ahead of the time of reception, which its values get"
                )
            }
            Self::ClockJumpOver { sequence, batches } => {
                write!(f, "from batch {sequence} on the device's clock is not ahead any more; it was for {batches} batches")
            }
            Self::UnknownProfile { detail }
            | Self::UnknownChannel { detail }
            | Self::BootUsedTwice { detail }
            | Self::BadMessage { detail } => f.write_str(detail),
        }
    }
}

fn code_text(code: u16) -> &'static str {
    use event_code::{BATCH_REFUSED, BATTERY_LOW, OUTBOX_FULL, SENSOR_FOUND, SENSOR_LOST, STARTED};
    match code {
        STARTED => "started",
        SENSOR_LOST => "sensor lost",
        SENSOR_FOUND => "sensor found",
        OUTBOX_FULL => "outbox full: batches were dropped",
        BATTERY_LOW => "battery low",
        BATCH_REFUSED => "a batch was refused and given up",
        ..1_000 => "a code of a later version",
        _ => "event of the profile",
    }
}

impl ServerEvent {
    /// The stable name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JournalFull { .. } => "journal-full",
            Self::JournalFailing { .. } => "journal-failing",
            Self::JournalBack => "journal-back",
            Self::ManyOffline { .. } => "many-offline",
            Self::SurveillanceBehind { .. } => "surveillance-behind",
        }
    }
}

impl fmt::Display for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JournalFull { held_by: None } => {
                f.write_str("the disk is full: nothing is acknowledged until there is room")
            }
            Self::JournalFull { held_by: Some(reader) } => {
                write!(f, "its bound is reached, and `{reader}` has not read the oldest entries")
            }
            Self::JournalFailing { cause } => f.write_str(cause),
            Self::JournalBack => f.write_str("entries are taken again"),
            Self::ManyOffline { devices } => {
                write!(f, "{devices} devices lost their connections within 5 s: look at the network")
            }
            Self::SurveillanceBehind { missed } => {
                write!(
                    f,
                    "the server was too busy to look at {missed} readings and events of patients; what they show now counts again"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_fields_of_the_protocol_in_its_order() {
        let event = Event::Device {
            device: "d".parse().unwrap(),
            peer: "127.0.0.1:5000".parse().unwrap(),
            time: SystemTime::UNIX_EPOCH,
            what: DeviceEvent::Told { code: 2, time_ms: 7, text: "\"DS18B20\"".into() },
        };
        assert_eq!(
            event.to_json(),
            r#"{"time":"1970-01-01T00:00:00.000Z","kind":"device","peer":"127.0.0.1:5000","detail":"sensor lost (code 2) at 7 ms: \"DS18B20\""}"#
        );
        let event = Event::Server { time: SystemTime::UNIX_EPOCH, what: ServerEvent::JournalBack };
        let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!((&json["kind"], json.get("peer")), (&"journal-back".into(), None));
    }

    #[test]
    fn a_start_needs_no_ones_attention_and_a_lost_sensor_does() {
        let told = |code| DeviceEvent::Told { code, time_ms: 0, text: String::new() };
        assert!(!told(event_code::STARTED).needs_attention());
        assert!(!told(event_code::SENSOR_FOUND).needs_attention());
        assert!(told(event_code::SENSOR_LOST).needs_attention());
        assert!(DeviceEvent::BatchesLost { below: 3, last: 1 }.needs_attention());
    }
}
