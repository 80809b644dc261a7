//! Patients and stays. A device is worn by a patient: from when to when is a stay. A stay begins with an enrolment, with
//! another patient, or with a discharge (then no one's name is known); it goes on on another device when the patient is moved.
//! No `Debug` here shows a name, a bed or a note.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::Limits;

use crate::error::Result;
use crate::text::{TextKind, checked};

/// Which stay. Numbers grow, and are never used twice in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StayId(NonZeroU64);

impl StayId {
    /// The stay with this number; there is none with number 0, nor beyond what SQLite can count.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok()?;
        NonZeroU64::new(number).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn stored(self) -> i64 {
        i64::try_from(self.0.get()).unwrap_or(i64::MAX)
    }

    pub(crate) fn read(stored: i64) -> Option<Self> {
        Self::new(u64::try_from(stored).ok()?)
    }
}

impl fmt::Display for StayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text is no number of a stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stay has a number from 1 on, as `vitalwire patient list` shows it")]
pub struct ParseStayIdError;

impl FromStr for StayId {
    type Err = ParseStayIdError;
    fn from_str(text: &str) -> Result<Self, ParseStayIdError> {
        text.parse().ok().and_then(Self::new).ok_or(ParseStayIdError)
    }
}

/// Who wears a device. Each text may be empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Patient {
    /// How the patient is called on screens.
    pub name: String,
    /// The bed.
    pub bed: String,
    /// What else must be known, in one line.
    pub notes: String,
}

impl Patient {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.bed.is_empty() && self.notes.is_empty()
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patient(..)")
    }
}

/// What is to be changed of a patient; what is `None` stays as it is, an empty text takes away what was there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PatientChange {
    /// The name.
    pub name: Option<String>,
    /// The bed.
    pub bed: Option<String>,
    /// The notes.
    pub notes: Option<String>,
    /// A name that is there may be replaced by another one: it was wrong. Without this that is refused, for it is more often
    /// another patient, who needs a stay of their own.
    pub corrects_name: bool,
}

impl PatientChange {
    /// The patient after the change.
    ///
    /// # Errors
    /// When a text may not be kept.
    pub(crate) fn apply(&self, before: Patient) -> Result<Patient> {
        let text = |kind, change: &Option<String>, before: String| match change {
            Some(text) => checked(kind, text).map(str::to_owned),
            None => Ok(before),
        };
        Ok(Patient {
            name: text(TextKind::Name, &self.name, before.name)?,
            bed: text(TextKind::Bed, &self.bed, before.bed)?,
            notes: text(TextKind::Notes, &self.notes, before.notes)?,
        })
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.bed.is_none() && self.notes.is_none()
    }

    /// Which texts it names, for the audit log.
    pub(crate) fn fields(&self) -> String {
        let named = [("name", &self.name), ("bed", &self.bed), ("notes", &self.notes)];
        let named: Vec<_> = named.iter().filter(|(_, text)| text.is_some()).map(|(name, _)| *name).collect();
        named.join(", ")
    }
}

impl fmt::Debug for PatientChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatientChange({})", self.fields())
    }
}

/// When something is changed: by the clock, and by what the journal had received by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UTC, microseconds since 1970.
    pub time_us: i64,
    /// The journal's newest position; 0 when that is not known, or nothing was ever received.
    pub position: u64,
}

/// What of a stay was on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StayPart {
    /// The device.
    pub device: DeviceId,
    /// From when on: UTC, microseconds since 1970.
    pub from_us: i64,
    /// Up to, but without; `None` while it goes on.
    pub to_us: Option<i64>,
}

/// A patient with a device, or with several, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Its number.
    pub id: StayId,
    /// The device on which it is, or was at its end.
    pub device: DeviceId,
    /// When it began: UTC, microseconds since 1970.
    pub started_us: i64,
    /// When it ended; `None` while it goes on.
    pub ended_us: Option<i64>,
    /// Who it is; `None` when no one said so, when it was forgotten, or when it does not open (`is_broken`).
    pub patient: Option<Patient>,
    /// What is known of the patient does not open: the row was changed by hand.
    pub is_broken: bool,
    /// Where it was, in its order; at least one.
    pub parts: Vec<StayPart>,
}

/// What a running server needs to know of the stay on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentStay {
    /// Its number.
    pub id: StayId,
    /// When it first began on this device: UTC, microseconds since 1970.
    pub started_us: i64,
    /// The limits of the patient's alarms.
    pub limits: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_patient() {
        let patient = Patient { name: "Ana".into(), bed: "Seven".into(), notes: "asthma".into() };
        let change =
            PatientChange { name: Some("Ana".into()), bed: Some("Seven".into()), ..Default::default() };
        let shown = format!("{patient:?} {change:?}");
        assert_eq!(shown, "Patient(..) PatientChange(name, bed)");
    }

    #[test]
    fn numbers_of_stays_are_read_as_they_are_shown() {
        let stay = StayId::new(12).unwrap();
        assert_eq!(stay.to_string().parse(), Ok(stay));
        for bad in ["", "0", "-1", "1.0", "x", "9223372036854775808", "18446744073709551616"] {
            assert_eq!(bad.parse::<StayId>(), Err(ParseStayIdError), "{bad}");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let before = Patient { name: "Ana".into(), bed: "7".into(), notes: "asthma".into() };
        let change =
            PatientChange { bed: Some(" 8 ".into()), notes: Some(String::new()), ..Default::default() };
        let after = change.apply(before).unwrap();
        assert!(after == Patient { name: "Ana".into(), bed: "8".into(), notes: String::new() });
    }
}
