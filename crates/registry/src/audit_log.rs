//! The audit log of an open registry: reading it, verifying it, and recording logins.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::Row;
use vitalwire_access::DeviceId;

use crate::audit::{self, AuditHead, AuditKind, AuditRecord, AuditReport, LoginKind, LoginRecord};
use crate::error::Result;
use crate::link::LinkId;
use crate::store::Registry;

impl Registry {
    /// The records after a sequence number (0 for all), at most `limit`, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT sequence, time_us, kind, subject, actor, detail FROM audit
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map((after, limit), read_record)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many records the log has, by its last one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn audit_records(&self) -> Result<u64> {
        let last: i64 =
            self.connection
                .query_row("SELECT coalesce(max(sequence), 0) FROM audit", [], |row| row.get(0))?;
        Ok(u64::try_from(last).unwrap_or(0))
    }

    /// All links that devices of this name ever had, as the log tells: also those of a device that is revoked. Reads the whole
    /// log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn links_ever(&self, id: &DeviceId) -> Result<BTreeSet<LinkId>> {
        // Where an alarm was acknowledged a person's own words stand, which could look like a link.
        let sql = "SELECT detail FROM audit WHERE subject = ?1 AND kind NOT LIKE 'alarm%'";
        let mut statement = self.connection.prepare(sql)?;
        let details = statement.query_map([id.as_str()], |row| text(row, 0))?;
        let mut links = BTreeSet::new();
        for detail in details {
            links.extend(detail?.split([' ', ',']).filter_map(|word| word.parse::<LinkId>().ok()));
        }
        Ok(links)
    }

    /// Verifies every record, and that none is missing. With a head noted earlier, also that the log goes on from there.
    ///
    /// # Errors
    /// When the file cannot be read. What is wrong with the log is in the report.
    pub fn verify_audit(&self, expected: Option<AuditHead>) -> Result<AuditReport> {
        audit::verify(&self.connection, &self.sealer, expected)
    }

    /// Records a login in the audit log, at most as often as its budget allows (see [`LoginKind`] and the constants
    /// beside it); what is not recorded by itself is counted and recorded later. Subject and detail are cut to one short
    /// line, and must hold no key and no measured value.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_login(&self, kind: LoginKind, subject: &str, detail: &str) -> Result<()> {
        let due = self.logins.borrow_mut().note(kind, subject, detail, Instant::now());
        self.write_logins(&due)
    }

    /// Records that someone is about to confirm the server's clock, after which old readings are removed again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_clock_confirmed(&self, detail: &str) -> Result<()> {
        self.append_only(|change| change.record(AuditKind::ClockConfirmed, "", detail))
    }

    /// Records that someone is about to end an MQTT session of a user: what waits for it is dropped.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_session_ended(&self, user: &str, client_id: &str) -> Result<()> {
        self.append_only(|change| {
            change.record(AuditKind::SessionEnded, user, &format!("client id {client_id}"))
        })
    }

    /// Records that a user looked at what these devices measure, each with a record of its own. The detail says how.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_looks(&self, user: &str, devices: &[DeviceId], detail: &str) -> Result<()> {
        let detail = format!("by {user}, {detail}");
        self.append_only(|change| {
            devices
                .iter()
                .try_for_each(|device| change.record(AuditKind::PatientSeen, device.as_str(), &detail))
        })
    }

    /// Records that someone is about to make a link that logs a user in, once. The detail says for how long it can be used.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_login_link(&self, user: &str, detail: &str) -> Result<()> {
        self.append_only(|change| change.record(AuditKind::LoginLinkMade, user, detail))
    }

    /// Records the counts whose minute is over. A server calls this now and then, so that counts do not wait for the next
    /// login.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush_logins(&self) -> Result<()> {
        let due = self.logins.borrow_mut().due(Instant::now());
        self.write_logins(&due)
    }

    /// Records all counts, at the end.
    pub(crate) fn drain_logins(&self) -> Result<()> {
        let all = self.logins.borrow_mut().drain();
        self.write_logins(&all)
    }

    fn write_logins(&self, records: &[LoginRecord]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.append_only(|change| {
            records.iter().try_for_each(|(kind, subject, detail)| change.record(*kind, subject, detail))
        })
    }
}

pub(crate) fn read_record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    let text = |column| text(row, column);
    Ok(AuditRecord {
        sequence: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        time: from_unix_micros(row.get(1)?),
        kind: text(2)?,
        subject: text(3)?,
        actor: text(4)?,
        detail: text(5)?,
    })
}

/// What is stored may be anything that someone put there.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_bytes()?).into_owned())
}

fn from_unix_micros(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
