//! Looking back at alarms: one by its number, or the newest first, a page at a time.

use vitalwire_vitals::alarm::Priority;

use crate::alarm::AlarmRecord;
use crate::alarm_store::{ALARM_COLUMNS, read_alarm};
use crate::error::Result;
use crate::stay::StayId;
use crate::store::Registry;

/// Which alarms of before are asked for: all that fit everything that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastAlarmQuery {
    /// Raised from this time on (UTC, microseconds since 1970),
    pub from_us: i64,
    /// up to, but without, this one.
    pub to_us: i64,
    /// Only those with a lower number: the page after one that ended with it.
    pub before: Option<u64>,
    /// At least so urgent.
    pub priority: Priority,
    /// At most so many.
    pub count: usize,
}

impl Registry {
    /// An alarm, if it is kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn alarm(&self, number: u64) -> Result<Option<AlarmRecord>> {
        let Ok(number) = i64::try_from(number) else { return Ok(None) };
        let sql = format!("SELECT {ALARM_COLUMNS} FROM alarms WHERE number = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([number])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        read_alarm(row, &self.sealer)
    }

    /// The newest alarms that fit, the newest first, of those stays that `keep` wants; `None` is the server's own. What it does not
    /// want is not opened.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn past_alarms(
        &self,
        query: &PastAlarmQuery,
        keep: impl Fn(Option<StayId>) -> bool,
    ) -> Result<Vec<AlarmRecord>> {
        let before = query.before.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT {ALARM_COLUMNS} FROM alarms
             WHERE number < ?1 AND raised_us >= ?2 AND raised_us < ?3
                 AND ?4 <= CASE priority WHEN 'low' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END
             ORDER BY number DESC"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows =
            statement.query((before, query.from_us, query.to_us, i64::from(query.priority as u8)))?;
        let mut found = Vec::new();
        while found.len() < query.count
            && let Some(row) = rows.next()?
        {
            let (stay, is_server): (i64, bool) =
                (row.get("stay")?, row.get_ref("device")?.as_str().is_ok_and(str::is_empty));
            let stay = StayId::read(stay);
            // An alarm of a device that is of no stay is of no one known.
            if (stay.is_some() || is_server) && keep(stay) {
                found.extend(read_alarm(row, &self.sealer)?);
            }
        }
        Ok(found)
    }
}
