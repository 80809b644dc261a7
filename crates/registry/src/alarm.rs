//! The log of alarms, as a server writes it and others read it: each alarm with what became of it. No `Debug` here shows a
//! measured value or a reason.

use std::fmt;

use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{BadSignals, Condition, Priority};

use crate::audit::AuditKind;
use crate::stay::StayId;

/// One change of one alarm, or of whether a patient's alarms are paused. The same change of the same alarm at the same time is
/// written once, however often it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmWrite {
    /// The alarm's number; of no meaning for [`AlarmEvent::Paused`] and [`AlarmEvent::Resumed`].
    pub number: u64,
    /// Whose device; `None` for an alarm of the server's own.
    pub device: Option<DeviceId>,
    /// Whose; `None` for an alarm of the server's own.
    pub stay: Option<StayId>,
    /// When: UTC, microseconds since 1970.
    pub time_us: i64,
    /// What changed.
    pub event: AlarmEvent,
}

/// What changed.
#[derive(Clone, PartialEq)]
pub enum AlarmEvent {
    /// It was raised. For an alarm that is there: its priority, value or limit are other ones now, and its condition holds.
    Raised(Raised),
    /// Its condition no longer holds.
    Ended,
    /// Someone has seen it.
    Acknowledged {
        /// Who.
        by: String,
        /// Why it is as it is; may be empty.
        reason: String,
    },
    /// It left the list of those that are open.
    Closed,
    /// It was announced again.
    Reannounced,
    /// It was handed to the escalation targets.
    Escalated,
    /// The alarms of the stay are paused.
    Paused {
        /// Up to when: UTC, microseconds since 1970.
        until_us: i64,
        /// By whom.
        by: String,
    },
    /// They are no longer paused.
    Resumed {
        /// By whom; empty when the time was over.
        by: String,
    },
}

impl AlarmEvent {
    /// The text it is stored as.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Raised(_) => "raised",
            Self::Ended => "ended",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Closed => "closed",
            Self::Reannounced => "reannounced",
            Self::Escalated => "escalated",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
        }
    }

    pub(crate) fn audit_kind(&self) -> AuditKind {
        match self {
            Self::Raised(_) => AuditKind::AlarmRaised,
            Self::Ended => AuditKind::AlarmEnded,
            Self::Acknowledged { .. } => AuditKind::AlarmAcknowledged,
            Self::Closed => AuditKind::AlarmClosed,
            Self::Reannounced => AuditKind::AlarmReannounced,
            Self::Escalated => AuditKind::AlarmEscalated,
            Self::Paused { .. } => AuditKind::AlarmsPaused,
            Self::Resumed { .. } => AuditKind::AlarmsResumed,
        }
    }
}

impl fmt::Debug for AlarmEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised(raised) => raised.fmt(f),
            Self::Acknowledged { by, .. } => write!(f, "Acknowledged {{ by: {by:?}, .. }}"),
            Self::Paused { until_us, by } => write!(f, "Paused {{ until_us: {until_us}, by: {by:?} }}"),
            other => f.write_str(other.name()),
        }
    }
}

/// An alarm as it is raised.
#[derive(Clone, Copy, PartialEq)]
pub struct Raised {
    /// What is wrong.
    pub condition: Condition,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when the condition holds: UTC, microseconds since 1970.
    pub since_us: i64,
    /// How long the condition had to hold.
    pub delay_us: u64,
    /// What was measured, if the condition is about a value.
    pub value: Option<f64>,
    /// The limit that it is beyond.
    pub limit: Option<f64>,
    /// Of a bad signal: which.
    pub bad: BadSignals,
    /// It was found in what came late, and announced to no one.
    pub is_late: bool,
}

impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raised")
            .field("condition", &self.condition)
            .field("priority", &self.priority)
            .field("since_us", &self.since_us)
            .field("delay_us", &self.delay_us)
            .field("is_late", &self.is_late)
            .finish_non_exhaustive()
    }
}

/// Who has seen an alarm.
#[derive(Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// Why it is as it is; may be empty.
    pub reason: String,
    /// When: UTC, microseconds since 1970.
    pub time_us: i64,
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acknowledgement {{ by: {:?}, time_us: {}, .. }}", self.by, self.time_us)
    }
}

/// An alarm as it is kept. Times are UTC, microseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmRecord {
    /// Its number.
    pub number: u64,
    /// Whose device; `None` for an alarm of the server's own.
    pub device: Option<DeviceId>,
    /// Whose; `None` for an alarm of the server's own.
    pub stay: Option<StayId>,
    /// How it was raised, or last changed.
    pub raised: Raised,
    /// When it was raised, or last got a higher priority.
    pub raised_us: i64,
    /// When its condition ended; `None` while it holds.
    pub ended_us: Option<i64>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// When it was last announced again.
    pub reannounced_us: Option<i64>,
    /// When it was handed to the escalation targets.
    pub escalated_us: Option<i64>,
    /// When it left the list of those that are open.
    pub closed_us: Option<i64>,
    /// Value, limit or reason do not open: the row was changed by hand.
    pub is_broken: bool,
}

/// Which alarms are asked for: all that fit everything that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmQuery {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// Of this stay.
    pub stay: Option<StayId>,
    /// Raised from this time on: UTC, microseconds since 1970.
    pub from_us: Option<i64>,
    /// Raised before this time.
    pub to_us: Option<i64>,
    /// At most so many, the newest; `None`: all.
    pub limit: Option<usize>,
}

pub(crate) fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
    }
}

pub(crate) fn priority_named(name: &str) -> Option<Priority> {
    [Priority::Low, Priority::Medium, Priority::High].into_iter().find(|found| priority_name(*found) == name)
}

pub(crate) fn condition_named(name: &str) -> Option<Condition> {
    Condition::ALL.into_iter().find(|condition| condition.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value_and_no_reason() {
        let raised = Raised {
            condition: Condition::RateHigh,
            priority: Priority::High,
            since_us: 1,
            delay_us: 2,
            value: Some(134.5),
            limit: Some(120.25),
            bad: BadSignals::NONE,
            is_late: false,
        };
        let seen = Acknowledgement { by: "bob".into(), reason: "Ana moved".into(), time_us: 3 };
        let event = AlarmEvent::Acknowledged { by: "bob".into(), reason: "Ana moved".into() };
        let shown = format!("{raised:?} {:?} {seen:?} {event:?}", AlarmEvent::Raised(raised));
        assert!(shown.contains("RateHigh") && shown.contains("bob"), "{shown}");
        for hidden in ["134", "120", "Ana"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn names_of_conditions_and_priorities_are_read_back() {
        for condition in Condition::ALL {
            assert_eq!(condition_named(condition.name()), Some(condition));
        }
        for priority in [Priority::Low, Priority::Medium, Priority::High] {
            assert_eq!(priority_named(priority_name(priority)), Some(priority));
        }
        assert_eq!((condition_named("x"), priority_named("")), (None, None));
    }
}
