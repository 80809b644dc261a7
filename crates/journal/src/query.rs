//! What can be asked of the file: entries after a position, a device's history by time, its gaps. It never writes.

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use vitalwire_access::DeviceId;

use crate::entry::{Assurance, Entry, SPAN_US_MAX, Stored};
use crate::ledger::signed;
use crate::limits::{READ_BYTES_MAX, READ_ENTRIES_MAX};

const COLUMNS: &str = "entries.position, devices.name, entries.boot, entries.sequence, entries.received_us,
    entries.first_us, entries.span_us, entries.uncertainty_us, entries.samples, entries.assurance, entries.body";

/// Where a page of history ended, so that the next one begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryCursor {
    first_us: i64,
    position: u64,
}

impl HistoryCursor {
    /// After this entry.
    #[must_use]
    pub fn after(stored: &Stored) -> Self {
        Self { first_us: stored.entry.first_us, position: stored.position }
    }
}

/// Which entries of a device are wanted.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    /// Whose.
    pub device: DeviceId,
    /// From this time on: UTC microseconds. An entry that begins earlier and reaches into the range is part of it.
    pub from_us: i64,
    /// Up to, but without, this time.
    pub to_us: i64,
    /// At most so many; [`READ_ENTRIES_MAX`] and [`READ_BYTES_MAX`] hold as well.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<HistoryCursor>,
}

/// What of a gap is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapState {
    /// The numbers are missing and may still come.
    Open,
    /// The device said that they will not come.
    GivenUp,
    /// Many ranges that the device gave up, folded into one: see [`crate::GAPS_PER_BOOT_MAX`].
    Folded,
    /// They came late.
    Filled {
        /// When the last of them came: UTC microseconds.
        closed_us: i64,
    },
}

/// A range of sequence numbers that was missing when a later one came, or still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The boot it belongs to.
    pub boot: u64,
    /// The first missing number.
    pub first: u64,
    /// The last missing number.
    pub last: u64,
    /// How many numbers of the range are missing: all of them, but of a range into which others were folded.
    pub numbers: u64,
    /// When it was noticed: UTC microseconds.
    pub noticed_us: i64,
    /// What became of it.
    pub state: GapState,
}

/// What is held of what a device numbered in one boot, from its first number on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootAccount {
    /// Which boot.
    pub boot: u64,
    /// The highest number that came: so many the device sent at least.
    pub highest: u64,
    /// Up to here nothing is missing that may still come: that is what the device was told.
    pub contiguous: u64,
    /// How many numbers are missing and may still come.
    pub open: u64,
    /// How many will not come, as the device said.
    pub given_up: u64,
}

/// The newest entry of a device, by the time of its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// When it came: UTC microseconds.
    pub received_us: i64,
    /// How it came.
    pub assurance: Assurance,
}

fn read_device(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn read_stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(Stored {
        position: number(0)?,
        entry: Entry {
            device: read_device(row, 1)?,
            boot: row.get::<_, i64>(2)?.cast_unsigned(),
            sequence: number(3)?,
            received_us: row.get(4)?,
            first_us: row.get(5)?,
            span_us: number(6)?,
            uncertainty_us: number(7)?,
            samples: row.get(8)?,
            assurance: Assurance::from_code(row.get(9)?),
            body: row.get_ref(10)?.as_blob()?.to_vec().into(),
        },
    })
}

/// The rows of a statement up to the limit of bytes, at least one.
fn collect(connection: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached(sql)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    for stored in statement.query_map(values, read_stored)? {
        let stored = stored?;
        bytes += stored.entry.body.len();
        found.push(stored);
        if bytes >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(found)
}

fn limit_of(limit: usize) -> i64 {
    signed(limit.min(READ_ENTRIES_MAX) as u64)
}

pub(crate) fn entries_after(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Stored>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM entries JOIN devices ON devices.id = entries.device
         WHERE entries.position > ?1 ORDER BY entries.position LIMIT ?2"
    );
    collect(connection, &sql, params![signed(after), limit_of(limit)])
}

pub(crate) fn positions_after(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<u64>> {
    let mut statement = connection
        .prepare_cached("SELECT position FROM entries WHERE position > ?1 ORDER BY position LIMIT ?2")?;
    let position = |row: &Row<'_>| row.get::<_, i64>(0).map(i64::unsigned_abs);
    statement.query_map(params![signed(after), limit_of(limit)], position)?.collect()
}

pub(crate) fn history(connection: &Connection, query: &HistoryQuery) -> rusqlite::Result<Vec<Stored>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM entries JOIN devices ON devices.id = entries.device
         WHERE entries.device = (SELECT id FROM devices WHERE name = ?1)
           AND entries.first_us >= ?2 AND entries.first_us < ?3 AND entries.first_us + entries.span_us >= ?4
           AND (entries.first_us, entries.position) > (?5, ?6)
         ORDER BY entries.first_us, entries.position LIMIT ?7"
    );
    let reach_us = query.from_us.saturating_sub_unsigned(SPAN_US_MAX);
    let after = query.after.unwrap_or(HistoryCursor { first_us: i64::MIN, position: 0 });
    let begin_us = reach_us.max(after.first_us);
    collect(
        connection,
        &sql,
        params![
            query.device.as_str(),
            begin_us,
            query.to_us,
            query.from_us,
            after.first_us,
            signed(after.position),
            limit_of(query.limit)
        ],
    )
}

pub(crate) fn gaps(connection: &Connection, device: &DeviceId, limit: usize) -> rusqlite::Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached(
        "SELECT boot, first, last, noticed_us, given_up, closed_us, coalesce(numbers, last - first + 1) FROM gaps
         WHERE device = (SELECT id FROM devices WHERE name = ?1) ORDER BY given_up = 2 DESC, noticed_us DESC, boot, first LIMIT ?2",
    )?;
    let rows = statement.query_map(params![device.as_str(), limit_of(limit)], |row| {
        let state = match (row.get(5)?, row.get::<_, i64>(4)?) {
            (Some(closed_us), _) => GapState::Filled { closed_us },
            (None, 0) => GapState::Open,
            (None, 1) => GapState::GivenUp,
            (None, _) => GapState::Folded,
        };
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Gap {
            boot: row.get::<_, i64>(0)?.cast_unsigned(),
            first: number(1)?,
            last: number(2)?,
            numbers: number(6)?,
            noticed_us: row.get(3)?,
            state,
        })
    })?;
    rows.collect()
}

/// The boots of a device whose clock was mapped, the one that was used last first. What the server derives has boots of its own,
/// without a clock.
pub(crate) fn boots(
    connection: &Connection,
    device: &DeviceId,
    limit: usize,
) -> rusqlite::Result<Vec<BootAccount>> {
    let mut statement = connection.prepare_cached(
        "SELECT boots.boot, highest,
                coalesce(min(CASE WHEN given_up = 0 THEN first END) - 1, highest),
                coalesce(sum(CASE WHEN given_up = 0 THEN coalesce(numbers, last - first + 1) END), 0),
                coalesce(sum(CASE WHEN given_up > 0 THEN coalesce(numbers, last - first + 1) END), 0)
         FROM boots LEFT JOIN gaps
           ON gaps.device = boots.device AND gaps.boot = boots.boot AND closed_us IS NULL
         WHERE boots.device = (SELECT id FROM devices WHERE name = ?1) AND clock_mapped_us IS NOT NULL
         GROUP BY boots.boot ORDER BY used_position DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![device.as_str(), limit_of(limit)], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(BootAccount {
            boot: row.get::<_, i64>(0)?.cast_unsigned(),
            highest: number(1)?,
            contiguous: number(2)?,
            open: number(3)?,
            given_up: number(4)?,
        })
    })?;
    rows.collect()
}

/// The newest entry of a device; `None` when nothing of it is held.
pub(crate) fn newest(connection: &Connection, device: &DeviceId) -> rusqlite::Result<Option<Newest>> {
    let mut statement = connection.prepare_cached(
        "SELECT received_us, assurance FROM entries
         WHERE device = (SELECT id FROM devices WHERE name = ?1) ORDER BY first_us DESC LIMIT 1",
    )?;
    let read =
        |row: &Row<'_>| Ok(Newest { received_us: row.get(0)?, assurance: Assurance::from_code(row.get(1)?) });
    statement.query_row([device.as_str()], read).optional()
}

/// The same of each device of which something is held: a look into an index a device.
pub(crate) fn newest_of_all(connection: &Connection) -> rusqlite::Result<Vec<(DeviceId, Newest)>> {
    let mut statement = connection.prepare_cached(
        "SELECT devices.name, entries.received_us, entries.assurance FROM devices JOIN entries
           ON entries.position =
              (SELECT position FROM entries WHERE device = devices.id ORDER BY first_us DESC LIMIT 1)",
    )?;
    let rows = statement.query_map([], |row| {
        let newest = Newest { received_us: row.get(1)?, assurance: Assurance::from_code(row.get(2)?) };
        Ok((read_device(row, 0)?, newest))
    })?;
    rows.collect()
}

/// Whether anything of the device was ever kept, and was not erased since.
pub(crate) fn knows(connection: &Connection, device: &DeviceId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM devices WHERE name = ?1")?.exists([device.as_str()])
}

/// The devices of which something came within so long before the newest entry.
pub(crate) fn last_heard(connection: &Connection, within_us: u64) -> rusqlite::Result<Vec<DeviceId>> {
    // Boots know the last position of their transaction. The entry there may be another device's, and be erased since: the
    // one before it is no newer.
    let mut statement = connection.prepare_cached(
        "SELECT devices.name
         FROM (SELECT device, max(used_position) AS position FROM boots GROUP BY device) AS used
         JOIN devices ON devices.id = used.device
         WHERE (SELECT coalesce(kept_us, received_us) FROM entries WHERE entries.position <= used.position
                ORDER BY entries.position DESC LIMIT 1)
            >= (SELECT coalesce(kept_us, received_us) FROM entries ORDER BY position DESC LIMIT 1) - ?1",
    )?;
    statement.query_map([signed(within_us)], |row| read_device(row, 0))?.collect()
}
