//! Sums: what someone computed from all entries of a device in a minute or an hour, kept beside the entries so that a long range can be
//! told without reading each of them. The journal never looks into a sum. It knows which are missing, and forgets one with the
//! transaction in which an entry of its time comes or goes: so a sum that is there says what the entries say, also after kill -9.

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use vitalwire_access::DeviceId;

use crate::ledger::signed;
use crate::limits::READ_BYTES_MAX;

/// The most sums one read gives.
pub const READ_SUMS_MAX: usize = 4_096;
/// The most missing ones that one read names.
const READ_UNMADE_MAX: usize = 65_536;

/// How long a stretch of time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Length {
    Minute,
    Hour,
}

impl Length {
    /// In microseconds.
    #[must_use]
    pub const fn us(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }

    /// As it is stored: seconds.
    pub(crate) const fn code(self) -> i64 {
        self.us() / 1_000_000
    }

    /// The number of the stretch in which this time lies.
    #[must_use]
    pub const fn at(self, time_us: i64) -> i64 {
        time_us.div_euclid(self.us())
    }
}

/// A stretch of time of one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stretch {
    /// Whose.
    pub device: DeviceId,
    /// How long.
    pub length: Length,
    /// How many of them lie between 1970 and its beginning; negative before 1970.
    pub number: i64,
}

/// Which sums are wanted.
#[derive(Debug, Clone)]
pub struct SumsQuery {
    /// Whose.
    pub device: DeviceId,
    /// Of which length.
    pub length: Length,
    /// From this stretch on,
    pub from: i64,
    /// up to, but without, this one.
    pub to: i64,
}

/// What one read found. A stretch before `upto` that is in neither list has no entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumsPage {
    /// The sums, with the number of the stretch of each, in order.
    pub made: Vec<(i64, Bytes)>,
    /// Stretches that may have entries and have no sum, in order.
    pub unmade: Vec<i64>,
    /// Where the read ended: the next one begins here.
    pub upto: i64,
}

/// In one transaction, so that no stretch moves from one list to the other between them.
pub(crate) fn sums(connection: &Connection, query: &SumsQuery) -> rusqlite::Result<SumsPage> {
    let snapshot = connection.unchecked_transaction()?;
    let (made, made_upto) = made(&snapshot, query)?;
    let (unmade, upto) = unmade(&snapshot, query, made_upto)?;
    snapshot.finish()?;
    let made = made.into_iter().take_while(|(number, _)| *number < upto).collect();
    Ok(SumsPage { made, unmade, upto })
}

fn made(connection: &Connection, query: &SumsQuery) -> rusqlite::Result<(Vec<(i64, Bytes)>, i64)> {
    let mut statement = connection.prepare_cached(
        "SELECT number, body FROM sums
         WHERE device = (SELECT id FROM devices WHERE name = ?1) AND length = ?2 AND number >= ?3 AND number < ?4
         ORDER BY number LIMIT ?5",
    )?;
    let values = params![
        query.device.as_str(),
        query.length.code(),
        query.from,
        query.to,
        signed(READ_SUMS_MAX as u64)
    ];
    let read = |row: &Row<'_>| Ok((row.get(0)?, Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?)));
    let (mut made, mut bytes) = (Vec::new(), 0);
    for sum in statement.query_map(values, read)? {
        let (number, body): (i64, Bytes) = sum?;
        bytes += body.len();
        made.push((number, body));
        if made.len() >= READ_SUMS_MAX || bytes >= READ_BYTES_MAX {
            return Ok((made, number.saturating_add(1)));
        }
    }
    Ok((made, query.to))
}

fn unmade(connection: &Connection, query: &SumsQuery, upto: i64) -> rusqlite::Result<(Vec<i64>, i64)> {
    let mut statement = connection.prepare_cached(
        "SELECT number FROM unsummed
         WHERE length = ?2 AND device = (SELECT id FROM devices WHERE name = ?1) AND number >= ?3 AND number < ?4
         ORDER BY number LIMIT ?5",
    )?;
    let limit = signed(READ_UNMADE_MAX as u64);
    let values = params![query.device.as_str(), query.length.code(), query.from, upto, limit];
    let unmade = statement.query_map(values, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let upto = match unmade.last() {
        Some(last) if unmade.len() >= READ_UNMADE_MAX => last.saturating_add(1),
        _ => upto,
    };
    Ok((unmade, upto))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_lies_in_a_stretch_before_it() {
        assert_eq!([-1, 0, 59_999_999, 60_000_000].map(|us| Length::Minute.at(us)), [-1, 0, 0, 1]);
        assert_eq!(Length::Hour.at(i64::MIN), i64::MIN.div_euclid(3_600_000_000));
    }
}
