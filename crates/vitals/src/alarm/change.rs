//! What the machine keeps of an alarm, and what it says when one changes.

use alloc::string::String;
use core::fmt;

use super::bad::BadSignals;
use super::condition::{Condition, Priority};

/// The longest pause, in seconds.
pub const PAUSE_S_MAX: u16 = 120;

/// An open alarm. This is all that must be stored so that it stands again after a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Its number, which no other alarm of this server ever had.
    pub number: u64,
    /// What is wrong.
    pub condition: Condition,
    /// How urgent it is now.
    pub priority: Priority,
    /// When the condition began, by the time of the value that showed it: UTC, microseconds since 1970.
    pub since_us: i64,
    /// When it became an alarm, by the server's clock.
    pub raised_us: i64,
    /// When the condition ended; nothing while it lasts. An open alarm that ended is latched, or stays as a notice.
    pub ended_us: Option<i64>,
    /// How often the condition came back while the alarm was open.
    pub returns: u32,
    /// Who knows.
    pub acknowledged: Option<Acknowledgement>,
    /// The value that made it an alarm, or raised its priority, or brought it back.
    pub value: Option<f64>,
    /// The limit that the value was beyond.
    pub limit: Option<f64>,
    /// Of a bad signal: all that were bad since it began.
    pub bad: BadSignals,
    /// The delay that was waited for, in seconds.
    pub delay_s: u16,
    /// When people were last told; nothing when it was raised in a pause and waits for its end.
    pub announced_us: Option<i64>,
    /// When it was handed to the escalation targets.
    pub escalated_us: Option<i64>,
}

impl Alarm {
    /// Whether the condition lasts.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.ended_us.is_none()
    }

    /// Whether someone must still come: it is not acknowledged, and it lasts or is latched. What is neither is a notice.
    #[must_use]
    pub fn is_calling(&self) -> bool {
        self.acknowledged.is_none() && (self.is_active() || self.priority == Priority::High)
    }

    /// For people, readable without colour: `*** HR 134 > 120`.
    #[must_use]
    pub fn text(&self) -> String {
        alloc::format!("{self}")
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks = self.priority.marks();
        let (name, sign, decimals) = match self.condition {
            Condition::RateHigh => ("HR", '>', 0),
            Condition::RateLow => ("HR", '<', 0),
            Condition::TemperatureHigh => ("Temp", '>', 1),
            Condition::TemperatureLow => ("Temp", '<', 1),
            other if self.bad.is_empty() => return write!(f, "{marks} {}", other.text()),
            other => return write!(f, "{marks} {}: {}", other.text(), self.bad),
        };
        let (Some(value), Some(limit)) = (self.value, self.limit) else {
            return write!(f, "{marks} {}", self.condition.text());
        };
        // So many decimals that no "120 > 120" stands there.
        let shown = |number: f64, decimals: usize| alloc::format!("{number:.decimals$}");
        let differs = |decimals: &usize| shown(value, *decimals) != shown(limit, *decimals);
        let value = shown(value, (decimals..3).find(differs).unwrap_or(3));
        write!(f, "{marks} {name} {value} {sign} {}", shown(limit, decimals))
    }
}

/// Who acknowledged an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// When: UTC, microseconds since 1970.
    pub time_us: i64,
    /// Who.
    pub by: String,
    /// Why it needs no one to come any more.
    pub reason: Option<String>,
}

/// What a person silences for a short time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseKind {
    /// "Alarm paused": what is raised is listed and recorded, but no one is told until the pause ends.
    Alarm,
    /// "Audio paused": it is told, but does not sound.
    Audio,
}

/// A pause of one patient's alarms. Only what is more urgent than `floor` breaks through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What is silenced.
    pub kind: PauseKind,
    /// When it began, by the server's clock: UTC, microseconds since 1970.
    pub from_us: i64,
    /// When it ends by itself.
    pub until_us: i64,
    /// Who asked for it.
    pub by: String,
    /// The priority of the most urgent alarm that stood when it began, medium at least; medium from when one of high priority
    /// began while it ran.
    pub floor: Priority,
}

/// The state of one patient's alarms, by the names of IEC 60601-1-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// Alarms are raised, told and sound.
    On,
    /// No one is told, for 2 minutes at most.
    AlarmPaused,
    /// None is raised, until a person turns them on again.
    AlarmOff,
    /// They do not sound, for 2 minutes at most.
    AudioPaused,
    /// They do not sound, until a person turns them on again.
    AudioOff,
}

impl AlarmState {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::AlarmPaused => "alarm-paused",
            Self::AlarmOff => "alarm-off",
            Self::AudioPaused => "audio-paused",
            Self::AudioOff => "audio-off",
        }
    }
}

impl fmt::Display for AlarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the machine says, in the order in which it happened. Each has a copy of the alarm as it is after the change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// There is a new alarm. People were told if its `announced_us` says so.
    Raised(Alarm),
    /// Its value went beyond an extreme limit: it has high priority now, and is not acknowledged any more.
    Heightened(Alarm),
    /// Its value is back from an extreme limit, and someone had acknowledged that: it has its own priority again.
    Lowered(Alarm),
    /// The condition came back before the alarm was closed.
    Returned(Alarm),
    /// The condition ended. The alarm stays open if it is latched or a notice; otherwise `Closed` follows.
    Ended(Alarm),
    /// Someone knows. The alarm stays open as long as the condition lasts; otherwise `Closed` follows.
    Acknowledged(Alarm),
    /// It left the list.
    Closed(Alarm),
    /// People are told again: it was not acknowledged for too long, or a pause ended.
    Reannounced(Alarm),
    /// It is handed to the escalation targets.
    Escalated(Alarm),
    /// A person paused this patient's alarms.
    Paused(Pause),
    /// The pause ended, by itself or because a person said so.
    Resumed {
        /// The pause.
        pause: Pause,
        /// Who ended it; nothing when it was over.
        by: Option<String>,
    },
}

impl Change {
    /// The alarm that changed; nothing for a pause.
    #[must_use]
    pub fn alarm(&self) -> Option<&Alarm> {
        match self {
            Self::Raised(alarm)
            | Self::Heightened(alarm)
            | Self::Lowered(alarm)
            | Self::Returned(alarm)
            | Self::Ended(alarm)
            | Self::Acknowledged(alarm)
            | Self::Closed(alarm)
            | Self::Reannounced(alarm)
            | Self::Escalated(alarm) => Some(alarm),
            Self::Paused(_) | Self::Resumed { .. } => None,
        }
    }

    /// The stable name: the kind of its event and of its audit record.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Raised(_) => "alarm-raised",
            Self::Heightened(_) => "alarm-heightened",
            Self::Lowered(_) => "alarm-lowered",
            Self::Returned(_) => "alarm-returned",
            Self::Ended(_) => "alarm-ended",
            Self::Acknowledged(_) => "alarm-acknowledged",
            Self::Closed(_) => "alarm-closed",
            Self::Reannounced(_) => "alarm-announced-again",
            Self::Escalated(_) => "alarm-escalated",
            Self::Paused(_) => "alarms-paused",
            Self::Resumed { .. } => "alarms-resumed",
        }
    }
}

/// When people are told again of an alarm of high priority that no one acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// It is announced again after so many seconds, and each time that so many have passed since.
    pub announce_again_s: u16,
    /// So many seconds after it was first announced again it is handed to the escalation targets.
    pub escalate_s: u16,
}

impl Default for Timing {
    fn default() -> Self {
        Self { announce_again_s: 120, escalate_s: 30 }
    }
}

/// Gives each alarm of a server a number of its own.
#[derive(Clone, Debug)]
pub struct Numbers {
    next: u64,
}

impl Numbers {
    /// Begins with this number: one that is greater than any that was ever given.
    #[must_use]
    pub fn starting_at(next: u64) -> Self {
        Self { next }
    }

    /// The number that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn take(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(condition: Condition, priority: Priority, value: Option<f64>, limit: Option<f64>) -> Alarm {
        Alarm {
            number: 1,
            condition,
            priority,
            since_us: 0,
            raised_us: 0,
            ended_us: None,
            returns: 0,
            acknowledged: None,
            value,
            limit,
            bad: BadSignals::NONE,
            delay_s: 0,
            announced_us: None,
            escalated_us: None,
        }
    }

    fn text(condition: Condition, priority: Priority, value: Option<f64>, limit: Option<f64>) -> String {
        alarm(condition, priority, value, limit).text()
    }

    #[test]
    fn can_be_read_without_colour() {
        use Condition::*;
        use Priority::*;
        assert_eq!(text(RateHigh, High, Some(134.2), Some(120.0)), "*** HR 134 > 120");
        assert_eq!(text(RateHigh, Medium, Some(120.1), Some(120.0)), "** HR 120.1 > 120");
        assert_eq!(text(RateLow, Medium, Some(49.96), Some(50.0)), "** HR 49.96 < 50");
        assert_eq!(text(TemperatureHigh, Medium, Some(38.69), Some(38.5)), "** Temp 38.7 > 38.5");
        assert_eq!(text(TemperatureHigh, Medium, Some(38.52), Some(38.5)), "** Temp 38.52 > 38.5");
        assert_eq!(text(TemperatureLow, Medium, None, None), "** Temp low");
        assert_eq!(text(Asystole, High, None, None), "*** Asystole");
        assert_eq!(text(BadSignal, Low, None, None), "* Signal bad");
        let mut bad = BadSignals::NONE;
        bad.insert(crate::alarm::BadSignal::Pulse);
        bad.insert(crate::alarm::BadSignal::Temperature);
        assert_eq!(Alarm { bad, ..alarm(BadSignal, Low, None, None) }.text(), "* Signal bad: pulse, temp");
    }
}
