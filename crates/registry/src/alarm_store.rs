//! The log of alarms in the store. What a server decided is written here, together with its audit records, before anyone is
//! told; so what was told is there after a kill.

use rusqlite::{Connection, Row};
use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{BadSignals, check_name, check_reason};

use crate::alarm::{
    Acknowledgement, AlarmEvent, AlarmQuery, AlarmRecord, AlarmWrite, Raised, condition_named, priority_name,
    priority_named,
};
use crate::change::Change;
use crate::error::Result;
use crate::seal::{AlarmRow, SealedRow, Sealer};
use crate::sealed_row::{pack_reason, pack_values, unpack_reason, unpack_values};
use crate::stay::StayId;
use crate::store::Registry;
use crate::timeline::Timeline;

/// How many alarms are kept at most. Of more the oldest go; those that are open stay.
pub const ALARMS_KEPT_MAX: u64 = 1_000_000;
/// How many are removed in one transaction: who writes alarms must not wait for long.
const REMOVED_AT_ONCE: i64 = 1_000;

pub(crate) const ALARM_COLUMNS: &str = "number, device, stay, condition, priority, since_us, delay_us, raised_us, late, sealed, ended_us, \
     acknowledged_us, acknowledged_by, sealed_reason, reannounced_us, escalated_us, closed_us";

/// An alarm that is there is raised anew. Who knew of it has not seen that it came back, has one more cause, or is more urgent
/// (`?8`); one that is only less urgent than before is still known.
const RAISE_AGAIN: &str = "UPDATE alarms
    SET priority = ?5, sealed = ?6, raised_us = ?7, ended_us = NULL, closed_us = NULL,
        (acknowledged_us, acknowledged_by, sealed_reason) = (
            SELECT acknowledged_us, acknowledged_by, sealed_reason
            WHERE ended_us IS NULL AND ?8 < CASE priority WHEN 'low' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END),
        escalated_us = (
            SELECT escalated_us
            WHERE ?8 <= CASE priority WHEN 'low' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END)
    WHERE number = ?1 AND device = ?2 AND stay = ?3 AND condition = ?4";

impl Registry {
    /// Writes changes of alarms in their order, with a record in the audit log each, in one transaction. What was written before
    /// is left out, so that it may be given again after a failure. A change of an alarm, stay or device that is not known,
    /// because it was erased meanwhile, is left out too.
    ///
    /// # Errors
    /// When a text may not be kept, or the file cannot be written; then nothing was.
    pub fn write_alarms(&self, writes: &[AlarmWrite]) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        self.append_only(|change| {
            writes.iter().try_for_each(|write| change.write_alarm(write))?;
            change.note_last_alarm(writes)
        })
    }

    /// The number of the next alarm: greater than that of every alarm that ever was in this registry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_alarm_number(&self) -> Result<u64> {
        let last: i64 = self.connection.query_row("SELECT last_alarm FROM registry", [], |row| row.get(0))?;
        Ok(u64::try_from(last).unwrap_or(0).saturating_add(1))
    }

    /// The alarms that are open, by number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_alarms(&self) -> Result<Vec<AlarmRecord>> {
        let sql = format!("SELECT {ALARM_COLUMNS} FROM alarms WHERE closed_us IS NULL ORDER BY number");
        read_alarms(&self.connection, &self.sealer, &sql, ())
    }

    /// The alarms that fit, by number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn alarms(&self, query: &AlarmQuery) -> Result<Vec<AlarmRecord>> {
        let sql = format!(
            "SELECT * FROM (
                 SELECT {ALARM_COLUMNS} FROM alarms
                 WHERE (?1 IS NULL OR device = ?1) AND (?2 IS NULL OR stay = ?2)
                     AND raised_us >= coalesce(?3, -9223372036854775808) AND (?4 IS NULL OR raised_us < ?4)
                 ORDER BY number DESC LIMIT ?5
             ) ORDER BY number"
        );
        let limit = query.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let device = query.device.as_ref().map(DeviceId::as_str);
        let stay = query.stay.map(StayId::stored);
        read_alarms(&self.connection, &self.sealer, &sql, (device, stay, query.from_us, query.to_us, limit))
    }

    /// The stays whose alarms are paused, as it was written last, and up to when (UTC, microseconds since 1970). It may be past.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn alarm_pauses(&self) -> Result<Vec<(StayId, i64)>> {
        let sql = "SELECT id, paused_until_us FROM stays WHERE paused_until_us IS NOT NULL ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((crate::stay_store::read_id(row, 0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Removes alarms that were closed before this time (UTC, microseconds since 1970), and the oldest closed ones beyond
    /// [`ALARMS_KEPT_MAX`]; some at a time, so that no one waits long: call it again until it is zero. Never one that is
    /// open. The audit log keeps that they were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn prune_alarms(&self, before_us: i64) -> Result<usize> {
        const OLD: &str = "SELECT number FROM alarms WHERE closed_us IS NOT NULL
            AND (closed_us < ?1 OR number <= (SELECT last_alarm FROM registry) - ?2) ORDER BY number LIMIT ?3";
        let kept = i64::try_from(ALARMS_KEPT_MAX).unwrap_or(i64::MAX);
        let parameters = (before_us, kept, REMOVED_AT_ONCE);
        if !self.connection.prepare_cached(OLD)?.exists(parameters)? {
            return Ok(0);
        }
        let mut removed = 0;
        self.append_only(|change| {
            let changes = format!("DELETE FROM alarm_changes WHERE number IN ({OLD})");
            change.transaction.execute(&changes, parameters)?;
            let alarms = format!("DELETE FROM alarms WHERE number IN ({OLD})");
            removed = change.transaction.execute(&alarms, parameters)?;
            Ok(())
        })?;
        Ok(removed)
    }
}

/// What an alarm's row says of whose it is.
struct Owner {
    device: String,
    stay: i64,
    condition: String,
}

impl Owner {
    fn row(&self, number: i64) -> AlarmRow<'_> {
        AlarmRow { number, stay: self.stay, condition: &self.condition, device: &self.device }
    }
}

impl Change<'_> {
    fn write_alarm(&self, write: &AlarmWrite) -> Result<()> {
        let number = i64::try_from(write.number).unwrap_or(i64::MAX);
        match &write.event {
            AlarmEvent::Paused { until_us, by } => self.pause(write, Some(*until_us), by),
            AlarmEvent::Resumed { by } => self.pause(write, None, by),
            AlarmEvent::Raised(raised) => self.raise(write, number, raised),
            event => self.go_on(write, number, event),
        }
    }

    /// False when it was written before.
    fn is_new(&self, write: &AlarmWrite, number: i64) -> Result<bool> {
        let sql = "INSERT OR IGNORE INTO alarm_changes (number, kind, time_us) VALUES (?1, ?2, ?3)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.execute((number, write.event.name(), write.time_us))? > 0)
    }

    fn raise(&self, write: &AlarmWrite, number: i64, raised: &Raised) -> Result<()> {
        let owner = Owner {
            device: write.device.as_ref().map_or(String::new(), DeviceId::to_string),
            stay: self.stay_of(write, raised)?,
            condition: raised.condition.name().to_owned(),
        };
        if !self.is_known(&owner)? {
            let device = &owner.device;
            tracing::warn!(number, device, "an alarm is not kept: what is known of the device was erased");
            return Ok(());
        }
        let values = pack_values(raised.value, raised.limit, raised.bad.bits());
        let sealed = self.sealer.seal_row(SealedRow::AlarmValues(owner.row(number)), &values);
        // First the row to which the change belongs. One of this number that is there is this alarm, or the change is none.
        let mut statement = self.transaction.prepare_cached(
            "INSERT OR IGNORE INTO alarms
                 (number, device, stay, condition, priority, since_us, delay_us, raised_us, late, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let delay_us = i64::try_from(raised.delay_us).unwrap_or(i64::MAX);
        let (device, stay, condition) = (&owner.device, owner.stay, &owner.condition);
        let priority = priority_name(raised.priority);
        let inserted = statement.execute((
            number,
            device,
            stay,
            condition,
            priority,
            raised.since_us,
            delay_us,
            write.time_us,
            raised.is_late,
            &sealed,
        ))?;
        if !self.is_new(write, number)? {
            return Ok(());
        }
        if inserted == 0 {
            let rank = raised.priority as i64;
            let mut statement = self.transaction.prepare_cached(RAISE_AGAIN)?;
            let updated = statement.execute((
                number,
                device,
                stay,
                condition,
                priority,
                &sealed,
                write.time_us,
                rank,
            ))?;
            if updated == 0 {
                tracing::error!(number, device, condition, "another alarm has this number; not written");
                return Ok(());
            }
        }
        self.record_alarm(write, &format!("alarm {number}: {condition}, {priority}{}", late(raised)))
    }

    /// Whose an alarm is. One that was found in what came late is of who wore the device then.
    fn stay_of(&self, write: &AlarmWrite, raised: &Raised) -> Result<i64> {
        let stay = write.stay.map_or(0, StayId::stored);
        let Some(device) = write.device.as_ref().filter(|_| raised.is_late) else { return Ok(stay) };
        let timeline = Timeline::read(&self.transaction, device)?;
        Ok(timeline.stay_at(raised.since_us, u64::MAX).map_or(0, StayId::stored))
    }

    /// Whether what the alarm is of is still there.
    fn is_known(&self, owner: &Owner) -> Result<bool> {
        if owner.stay == 0 && owner.device.is_empty() {
            return Ok(true);
        }
        let sql = "SELECT 1 FROM stay_parts WHERE device = ?2 AND (?1 = 0 OR stay = ?1)";
        Ok(self.transaction.prepare_cached(sql)?.exists((owner.stay, &owner.device))?)
    }

    /// A change of an alarm that is there.
    fn go_on(&self, write: &AlarmWrite, number: i64, event: &AlarmEvent) -> Result<()> {
        let Some(owner) = self.owner(number)? else { return Ok(()) };
        if !self.is_new(write, number)? {
            return Ok(());
        }
        let column = match event {
            AlarmEvent::Ended => "ended_us",
            AlarmEvent::Closed => "closed_us",
            AlarmEvent::Escalated => "escalated_us",
            AlarmEvent::Reannounced => "reannounced_us",
            AlarmEvent::Acknowledged { by, reason } => {
                return self.acknowledge(write, number, &owner, by, reason);
            }
            AlarmEvent::Raised(_) | AlarmEvent::Paused { .. } | AlarmEvent::Resumed { .. } => return Ok(()),
        };
        self.transaction
            .prepare_cached(&format!("UPDATE alarms SET {column} = ?2 WHERE number = ?1"))?
            .execute((number, write.time_us))?;
        self.record_alarm(write, &format!("alarm {number}: {}", owner.condition))
    }

    fn acknowledge(
        &self,
        write: &AlarmWrite,
        number: i64,
        owner: &Owner,
        by: &str,
        reason: &str,
    ) -> Result<()> {
        check_words(by, reason)?;
        let sealed = (!reason.is_empty())
            .then(|| self.sealer.seal_row(SealedRow::AlarmReason(owner.row(number)), &pack_reason(reason)));
        let mut statement = self.transaction.prepare_cached(
            "UPDATE alarms SET acknowledged_us = ?2, acknowledged_by = ?3, sealed_reason = ?4 WHERE number = ?1",
        )?;
        statement.execute((number, write.time_us, by, sealed))?;
        self.record_alarm(write, &format!("alarm {number}: {}, by {by}", owner.condition))
    }

    fn owner(&self, number: i64) -> Result<Option<Owner>> {
        let sql = "SELECT device, stay, condition FROM alarms WHERE number = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([number])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(Owner { device: row.get(0)?, stay: row.get(1)?, condition: row.get(2)? }))
    }

    /// Written when it changes something.
    fn pause(&self, write: &AlarmWrite, until_us: Option<i64>, by: &str) -> Result<()> {
        check_words(by, "")?;
        let Some(stay) = write.stay else { return Ok(()) };
        let sql = "UPDATE stays SET paused_until_us = ?2 WHERE id = ?1 AND paused_until_us IS NOT ?2";
        let changed = self.transaction.prepare_cached(sql)?.execute((stay.stored(), until_us))?;
        if changed == 0 {
            return Ok(());
        }
        let by = if by.is_empty() { "as the time was over".to_owned() } else { format!("by {by}") };
        self.record_alarm(write, &format!("stay {stay}, {by}"))
    }

    fn record_alarm(&self, write: &AlarmWrite, detail: &str) -> Result<()> {
        let subject = write.device.as_ref().map_or("", DeviceId::as_str);
        self.record(write.event.audit_kind(), subject, detail)
    }

    fn note_last_alarm(&self, writes: &[AlarmWrite]) -> Result<()> {
        let raised = writes.iter().filter(|write| matches!(write.event, AlarmEvent::Raised(_)));
        let Some(last) = raised.map(|write| write.number).max() else { return Ok(()) };
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        self.transaction.execute("UPDATE registry SET last_alarm = max(last_alarm, ?1)", [last])?;
        Ok(())
    }

    pub(crate) fn erase_alarms(&self, device: &DeviceId) -> Result<()> {
        self.transaction.execute(
            "DELETE FROM alarm_changes WHERE number IN (SELECT number FROM alarms WHERE device = ?1)",
            [device.as_str()],
        )?;
        self.transaction.execute("DELETE FROM alarms WHERE device = ?1", [device.as_str()])?;
        Ok(())
    }
}

/// The same rules as where the words were taken: what was taken there must never fail here, for it would keep all alarms from
/// being written. Without words nothing is wrong.
fn check_words(by: &str, reason: &str) -> Result<()> {
    if !by.is_empty() {
        check_name(by)?;
    }
    if !reason.is_empty() {
        check_reason(reason)?;
    }
    Ok(())
}

fn late(raised: &Raised) -> &'static str {
    if raised.is_late { ", found late" } else { "" }
}

fn read_alarms(
    connection: &Connection,
    sealer: &Sealer,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<AlarmRecord>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut alarms = Vec::new();
    while let Some(row) = rows.next()? {
        match read_alarm(row, sealer)? {
            Some(alarm) => alarms.push(alarm),
            None => tracing::error!(
                number = row.get::<_, i64>(0)?,
                "an alarm was left out: its row was changed by hand, or a newer version wrote it"
            ),
        }
    }
    Ok(alarms)
}

pub(crate) fn read_alarm(row: &Row<'_>, sealer: &Sealer) -> Result<Option<AlarmRecord>> {
    let stored: i64 = row.get("number")?;
    let text = |column| row.get_ref(column).map(|text| text.as_str().unwrap_or_default());
    let (device, condition) = (text("device")?, text("condition")?);
    let stay: i64 = row.get("stay")?;
    let seal_row = AlarmRow { number: stored, stay, condition, device };
    let (Ok(number), Some(known), Some(priority)) =
        (u64::try_from(stored), condition_named(condition), priority_named(text("priority")?))
    else {
        return Ok(None);
    };
    let device = if device.is_empty() {
        None
    } else {
        let Ok(device) = device.parse() else { return Ok(None) };
        Some(device)
    };
    let sealed = row.get_ref("sealed")?.as_blob().map_err(rusqlite::Error::from)?;
    let values = sealer.open_row(SealedRow::AlarmValues(seal_row), sealed).ok();
    let values = values.and_then(|plain| unpack_values(&plain));
    let sealed_reason = row.get_ref("sealed_reason")?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    let reason = sealed_reason.map_or(Some(String::new()), |sealed| {
        let plain = sealer.open_row(SealedRow::AlarmReason(seal_row), sealed).ok()?;
        unpack_reason(&plain)
    });
    let is_broken = values.is_none() || reason.is_none();
    let (value, limit, bad) = values.unwrap_or_default();
    let by: Option<String> = row.get("acknowledged_by")?;
    let reason = reason.unwrap_or_default();
    let seen = |time_us| Acknowledgement { by: by.unwrap_or_default(), reason, time_us };
    Ok(Some(AlarmRecord {
        number,
        device,
        stay: StayId::read(stay),
        raised: Raised {
            condition: known,
            priority,
            since_us: row.get("since_us")?,
            delay_us: u64::try_from(row.get::<_, i64>("delay_us")?).unwrap_or(0),
            value,
            limit,
            bad: BadSignals::from_bits(bad),
            is_late: row.get("late")?,
        },
        raised_us: row.get("raised_us")?,
        ended_us: row.get("ended_us")?,
        acknowledged: row.get::<_, Option<i64>>("acknowledged_us")?.map(seen),
        reannounced_us: row.get("reannounced_us")?,
        escalated_us: row.get("escalated_us")?,
        closed_us: row.get("closed_us")?,
        is_broken,
    }))
}
