//! The audit log: who enrolled, re-keyed, revoked, erased and logged in, in records that are chained by a MAC. No record
//! holds a key, a password or a value that was measured.
//!
//! Each record's `chain` is `HMAC-SHA256(key, chain of the record before ‖ sequence ‖ time ‖ kind ‖ subject ‖ actor ‖
//! detail)`: the first chain begins with 32 zero bytes, numbers are 8 bytes big-endian, texts are preceded by their length
//! in 4 such bytes. The row of the registry holds the number of records and the last chain (the *head*) under a MAC of
//! their own. Both keys are derived from the master key; so someone who can write the file but lacks that key cannot write
//! history, nor cut it, without [`crate::Registry::verify_audit`] finding it. What they can do is put an earlier copy of the whole
//! file in its place: only a head noted elsewhere shows that.
//!
//! When the master key is rotated, records go on under the new one, chained to those before. The key of those is kept sealed under
//! the new one, so that an old master key alone writes no history either.

mod fold;
mod verify;

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

pub(crate) use fold::{LoginFold, LoginRecord};
pub use fold::{LoginKind, REFUSED_LOGINS_BURST, REFUSED_LOGINS_PER_MINUTE, REPEATED_LOGINS_FOLDED_FOR};
use rusqlite::{Connection, Row};
pub(crate) use verify::verify;
pub use verify::{AuditFault, AuditReport};

use crate::error::Result;
use crate::hex;
use crate::seal::{ChainKey, Sealer};
use crate::time::unix_micros;

/// The longest subject of a record, in bytes; a longer one is cut.
const SUBJECT_LEN_MAX: usize = 128;
/// The longest detail of a record, in bytes; a longer one is cut.
const DETAIL_LEN_MAX: usize = 512;
/// The bytes of a chain value.
const CHAIN_LEN: usize = 32;
/// Before the first record.
const CHAIN_START: [u8; CHAIN_LEN] = [0; CHAIN_LEN];

/// What a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AuditKind {
    /// The log began.
    LogStarted,
    /// A device was enrolled.
    DeviceEnrolled,
    /// A device got a fresh key.
    DeviceRotated,
    /// A device used its fresh key, and the one before was forgotten.
    RotationConfirmed,
    /// A device's key was shown to someone.
    KeyShown,
    /// A device was taken out of service.
    DeviceRevoked,
    /// Someone asked for what a device sent to be erased.
    ErasureRequested,
    /// What a device sent was erased.
    DeviceErased,
    /// A user was added.
    UserAdded,
    /// A user was removed.
    UserRemoved,
    /// A user got another password.
    PasswordSet,
    /// A user got another role or other devices.
    RoleSet,
    /// A token for a program was added.
    TokenAdded,
    /// A token was removed.
    TokenRemoved,
    /// A device connected under a link for the first time.
    DeviceLogin,
    /// A user logged in.
    UserLogin,
    /// A login was refused.
    LoginRefused,
    /// Logins that were counted and not recorded one by one.
    LoginsFolded,
    /// Someone said that the clock of the server is right, so that old readings are removed again.
    ClockConfirmed,
    /// Someone ended a user's MQTT session, with what waited for it.
    SessionEnded,
    /// The master key was rotated: from this record on the log is chained under the new one.
    MasterKeyRotated,
    /// A stay of a patient who is known began, or it became known whose a stay is.
    PatientAdmitted,
    /// What is known of a patient was changed.
    PatientChanged,
    /// A patient got another device.
    PatientMoved,
    /// A stay ended, and no one is known to wear the device.
    PatientDischarged,
    /// A stay of someone whose name is not known began.
    StayBegun,
    /// Stays ended so long ago that who it was is forgotten.
    PatientsForgotten,
    /// The clock was set, or the journal began again: what arrives late from then on is of no stay that is known.
    StaysDividedAnew,
    /// The limits of a patient's alarms were set.
    LimitsSet,
    /// An alarm was raised, or became more urgent.
    AlarmRaised,
    /// The condition of an alarm no longer held.
    AlarmEnded,
    /// Someone acknowledged an alarm.
    AlarmAcknowledged,
    /// An alarm that no one had acknowledged was announced again.
    AlarmReannounced,
    /// An alarm was handed to the escalation targets.
    AlarmEscalated,
    /// An alarm left the list of those that are open.
    AlarmClosed,
    /// Someone paused the alarms of a patient.
    AlarmsPaused,
    /// A pause of alarms ended.
    AlarmsResumed,
    /// A person looked at what a device measures.
    PatientSeen,
    /// A link was made that logs a user in to the dashboard, once.
    LoginLinkMade,
}

impl AuditKind {
    /// The text it is stored and shown as.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogStarted => "log-started",
            Self::DeviceEnrolled => "device-enrolled",
            Self::DeviceRotated => "device-rotated",
            Self::RotationConfirmed => "rotation-confirmed",
            Self::KeyShown => "key-shown",
            Self::DeviceRevoked => "device-revoked",
            Self::ErasureRequested => "erasure-requested",
            Self::DeviceErased => "device-erased",
            Self::UserAdded => "user-added",
            Self::UserRemoved => "user-removed",
            Self::PasswordSet => "password-set",
            Self::RoleSet => "role-set",
            Self::TokenAdded => "token-added",
            Self::TokenRemoved => "token-removed",
            Self::DeviceLogin => "device-login",
            Self::UserLogin => "user-login",
            Self::LoginRefused => "login-refused",
            Self::LoginsFolded => "logins-folded",
            Self::ClockConfirmed => "clock-confirmed",
            Self::SessionEnded => "session-ended",
            Self::MasterKeyRotated => "master-key-rotated",
            Self::PatientAdmitted => "patient-admitted",
            Self::PatientChanged => "patient-changed",
            Self::PatientMoved => "patient-moved",
            Self::PatientDischarged => "patient-discharged",
            Self::StayBegun => "stay-begun",
            Self::PatientsForgotten => "patients-forgotten",
            Self::StaysDividedAnew => "stays-divided-anew",
            Self::LimitsSet => "limits-set",
            Self::AlarmRaised => "alarm-raised",
            Self::AlarmEnded => "alarm-ended",
            Self::AlarmAcknowledged => "alarm-acknowledged",
            Self::AlarmReannounced => "alarm-reannounced",
            Self::AlarmEscalated => "alarm-escalated",
            Self::AlarmClosed => "alarm-closed",
            Self::AlarmsPaused => "alarms-paused",
            Self::AlarmsResumed => "alarms-resumed",
            Self::PatientSeen => "patient-seen",
            Self::LoginLinkMade => "login-link-made",
        }
    }
}

/// A record as stored. Its texts are as written, also by a newer program; [`crate::Registry::verify_audit`] tells whether they
/// can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Counted from 1, without gaps.
    pub sequence: u64,
    /// When, by the clock of the machine, to the microsecond.
    pub time: SystemTime,
    /// What happened: the text of an [`AuditKind`].
    pub kind: String,
    /// To whom: a device's or a user's name.
    pub subject: String,
    /// By whom: the program and the operating system's user that it ran as.
    pub actor: String,
    /// More about it.
    pub detail: String,
}

/// The chain value of a record, which stands for it and all before it. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHead([u8; CHAIN_LEN]);

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head of the audit log has 64 hexadecimal digits, as `vitalwire audit verify` prints it")]
pub struct ParseAuditHeadError;

impl FromStr for AuditHead {
    type Err = ParseAuditHeadError;
    fn from_str(text: &str) -> Result<Self, ParseAuditHeadError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != CHAIN_LEN || !rest.is_empty() {
            return Err(ParseAuditHeadError);
        }
        let mut head = [0; CHAIN_LEN];
        for (byte, [high, low]) in head.iter_mut().zip(pairs) {
            let high = hex::value(*high).ok_or(ParseAuditHeadError)?;
            let low = hex::value(*low).ok_or(ParseAuditHeadError)?;
            *byte = high << 4 | low;
        }
        Ok(Self(head))
    }
}

/// Where the log ends, as the row of the registry says.
pub(crate) struct Tail {
    records: i64,
    head: [u8; CHAIN_LEN],
    seal: Option<Vec<u8>>,
    /// Whether the MAC over the two fits. Once it does not, no change makes a fitting one: damage stays visible.
    sound: bool,
    changed: bool,
}

/// The columns that [`Tail::read`] reads, in its order.
pub(crate) const TAIL_COLUMNS: &str = "audit_records, audit_head, audit_seal";

impl Tail {
    /// Reads [`TAIL_COLUMNS`], which begin at column `first`.
    pub(crate) fn read(row: &Row<'_>, first: usize, sealer: &Sealer) -> rusqlite::Result<Self> {
        let records: i64 = row.get(first)?;
        let head = row.get_ref(first + 1)?.as_blob_or_null()?.and_then(|head| head.try_into().ok());
        let seal = row.get_ref(first + 2)?.as_blob_or_null()?.map(<[u8]>::to_vec);
        let sound = head.is_some_and(|head| seal.as_deref() == Some(&sealer.audit_seal(records, &head)));
        Ok(Self { records, head: head.unwrap_or(CHAIN_START), seal, sound, changed: false })
    }

    fn start() -> Self {
        Self { records: 0, head: CHAIN_START, seal: None, sound: true, changed: false }
    }

    /// The number of the last record. One that someone added may stand beyond the end; it must not keep a device from being
    /// revoked.
    pub(crate) fn last(&self, connection: &Connection) -> Result<i64> {
        let mut statement = connection.prepare_cached("SELECT coalesce(max(sequence), 0) FROM audit")?;
        let last: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(last.max(self.records))
    }

    pub(crate) fn append(
        &mut self,
        connection: &Connection,
        sealer: &Sealer,
        actor: &str,
        (kind, subject, detail): (AuditKind, &str, &str),
    ) -> Result<()> {
        let sequence = self.last(connection)?.saturating_add(1);
        let time_us = unix_micros(SystemTime::now());
        let subject = clean(subject, SUBJECT_LEN_MAX);
        let detail = clean(detail, DETAIL_LEN_MAX);
        let texts = [kind.as_str(), &subject, actor, &detail];
        let chain = chain(&sealer.audit_chain_key(), &self.head, sequence, time_us, texts.map(str::as_bytes));
        let mut statement = connection.prepare_cached(
            "INSERT INTO audit (sequence, time_us, kind, subject, actor, detail, chain)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        statement.execute((sequence, time_us, kind.as_str(), &subject, actor, &detail, chain))?;
        (self.records, self.head, self.changed) = (sequence, chain, true);
        Ok(())
    }

    pub(crate) fn store(&self, connection: &Connection, sealer: &Sealer) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        if !self.sound {
            tracing::error!(
                "the end of the audit log was changed by hand; run `vitalwire audit verify`. New records are added"
            );
        }
        let fresh = self.sound.then(|| sealer.audit_seal(self.records, &self.head).to_vec());
        connection.execute(
            "UPDATE registry SET audit_records = ?1, audit_head = ?2, audit_seal = ?3",
            (self.records, self.head, fresh.as_ref().or(self.seal.as_ref())),
        )?;
        Ok(())
    }
}

/// Writes the first record, into a log that never had one.
pub(crate) fn start(connection: &Connection, sealer: &Sealer, actor: &str) -> Result<()> {
    let devices: i64 =
        connection
            .query_row("SELECT count(*) FROM devices WHERE sealed IS NOT NULL", [], |row| row.get(0))?;
    let users: i64 =
        connection
            .query_row("SELECT count(*) FROM users WHERE password_hash IS NOT NULL", [], |row| row.get(0))?;
    let detail = format!("there were {devices} devices and {users} users before");
    let mut tail = Tail::start();
    tail.append(connection, sealer, actor, (AuditKind::LogStarted, "", &detail))?;
    tail.store(connection, sealer)
}

fn chain(
    key: &ChainKey,
    before: &[u8; CHAIN_LEN],
    sequence: i64,
    time_us: i64,
    texts: [&[u8]; 4],
) -> [u8; CHAIN_LEN] {
    let (sequence, time_us) = (sequence.to_be_bytes(), time_us.to_be_bytes());
    let lengths = texts.map(|text| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    let mut parts: Vec<&[u8]> = vec![before, &sequence, &time_us];
    for (length, text) in lengths.iter().zip(texts) {
        parts.extend([length.as_slice(), text]);
    }
    key.chain(&parts)
}

/// One line of at most `len_max` bytes: a name that someone made up at a login can be anything.
fn clean(text: &str, len_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(len_max));
    for character in text.chars() {
        let shown = if character.is_control() { '\u{fffd}' } else { character };
        if clean.len() + shown.len_utf8() > len_max - '…'.len_utf8() {
            clean.push('…');
            break;
        }
        clean.push(shown);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_shown_and_every_cut_is_refused() {
        let head = AuditHead(std::array::from_fn(|place| u8::try_from(place * 8).unwrap()));
        let text = head.to_string();
        assert_eq!(text.parse(), Ok(head));
        assert_eq!(text.to_uppercase().parse(), Ok(head));
        for len in 0..text.len() {
            assert_eq!(text[..len].parse::<AuditHead>(), Err(ParseAuditHeadError), "length {len}");
        }
        for place in 0..text.len() {
            let mut bad = text.clone();
            bad.replace_range(place..=place, "g");
            assert_eq!(bad.parse::<AuditHead>(), Err(ParseAuditHeadError), "place {place}");
        }
        assert!(format!("{text}00").parse::<AuditHead>().is_err());
    }

    #[test]
    fn chain_and_seal_are_those_of_another_implementation() {
        // Python `cryptography` (HKDF-SHA256) and `hmac`: a change of the form would make every log look forged.
        let sealer = Sealer::new(&crate::MasterKey::from_bytes([7; 32]));
        let texts = ["device-revoked", "bed_07", "ana (uid 1000)", ""].map(str::as_bytes);
        let chain = chain(&sealer.audit_chain_key(), &CHAIN_START, 1, 1_700_000_000_000_000, texts);
        assert_eq!(
            AuditHead(chain).to_string(),
            "c3ffcc1d1c51cec50aa434789238337136b2c5a31121732e982d732349182fdc"
        );
        assert_eq!(
            AuditHead(sealer.audit_seal(1, &chain)).to_string(),
            "7037bf933875d2e11376200437dd25aff3aafd634a476a68390930067972cc00"
        );
    }

    #[test]
    fn made_up_names_become_one_short_line() {
        assert_eq!(clean("ana", 10), "ana");
        assert_eq!(clean("a\nb\u{1b}[2J\0", 20), "a\u{fffd}b\u{fffd}[2J\u{fffd}");
        for text in ["x".repeat(1_000), "é".repeat(1_000), "𝄞".repeat(1_000)] {
            let short = clean(&text, 128);
            assert!(short.len() <= 128 && short.ends_with('…'), "{short}");
        }
    }
}
