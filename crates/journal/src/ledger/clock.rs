//! What the journal remembers of the machine's clocks, in the file.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Ledger, signed};
use crate::clock::Moment;
use crate::steady::{ClockTrouble, Steady, Suspension};

impl Ledger {
    /// What the clocks said when the file was last in use; `None` in a new one.
    pub(crate) fn saved_clock(&self, now: Moment) -> rusqlite::Result<Option<Steady>> {
        if let Some(steady) = read_clock(&self.connection)? {
            return Ok(Some(steady));
        }
        let newest: Option<i64> = self
            .connection
            .query_row("SELECT received_us FROM entries ORDER BY position DESC LIMIT 1", [], |row| row.get(0))
            .optional()?;
        Ok(newest.map(|newest_us| Steady::of_old_file(newest_us, now)))
    }

    /// Within the transaction under way.
    pub(crate) fn save_clock(&self, steady: &Steady) -> rusqlite::Result<()> {
        let suspension = steady.suspension;
        let (stopped, trouble_us) = match suspension.map(|suspension| suspension.trouble) {
            Some(ClockTrouble::Set { by_us }) => (Some(false), Some(by_us)),
            Some(ClockTrouble::LongStop { by_us }) => (Some(true), Some(signed(by_us))),
            None => (None, None),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO clock (only_row, wall_us, uptime_us, machine_start, anchor_wall_us, anchor_uptime_us,
                                    ahead_us, suspended_us, stopped, trouble_us, steady_us)
                 VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT DO UPDATE SET wall_us = ?1, uptime_us = ?2, machine_start = ?3, anchor_wall_us = ?4,
                   anchor_uptime_us = ?5, ahead_us = ?6, suspended_us = ?7, stopped = ?8, trouble_us = ?9,
                   steady_us = ?10, confirmed_us = iif(?7 IS NULL, NULL, confirmed_us)",
            )?
            .execute(params![
                steady.last.wall_us,
                signed(steady.last.uptime_us),
                steady.last.machine_start.to_be_bytes(),
                steady.anchor.wall_us,
                signed(steady.anchor.uptime_us),
                steady.ahead_us,
                suspension.map(|suspension| suspension.since_us),
                stopped,
                trouble_us,
                suspension.map(|suspension| signed(suspension.steady_us)),
            ])
            .map(|_| ())
    }

    /// Whether an operator confirmed the clock since deletion by age is suspended.
    pub(crate) fn is_clock_confirmed(&self, suspension: &Suspension) -> rusqlite::Result<bool> {
        let confirmed: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT confirmed_us FROM clock")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(confirmed.flatten() == Some(suspension.since_us))
    }
}

pub(crate) fn read_clock(connection: &Connection) -> rusqlite::Result<Option<Steady>> {
    let mut select = connection.prepare(
        "SELECT wall_us, uptime_us, machine_start, anchor_wall_us, anchor_uptime_us, ahead_us, suspended_us, stopped,
                trouble_us, steady_us FROM clock",
    )?;
    let steady = select.query_row([], |row| {
        let machine_start = u128::from_be_bytes(row.get(2)?);
        let moment =
            |wall_us, uptime_us: i64| Moment { wall_us, uptime_us: uptime_us.unsigned_abs(), machine_start };
        let suspension = match row.get(6)? {
            None => None,
            Some(since_us) => {
                let by_us: i64 = row.get(8)?;
                let trouble = if row.get(7)? {
                    ClockTrouble::LongStop { by_us: by_us.unsigned_abs() }
                } else {
                    ClockTrouble::Set { by_us }
                };
                Some(Suspension { since_us, trouble, steady_us: row.get::<_, i64>(9)?.unsigned_abs() })
            }
        };
        Ok(Steady {
            last: moment(row.get(0)?, row.get(1)?),
            anchor: moment(row.get(3)?, row.get(4)?),
            ahead_us: row.get(5)?,
            suspension,
        })
    });
    steady.optional()
}
