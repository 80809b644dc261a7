//! Which sums are right, and which are to be made: see [`crate::sums`].

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use rusqlite::params;
use vitalwire_access::DeviceId;

use super::Ledger;
use crate::entry::Entry;
use crate::sums::{Length, Stretch};

/// Stretches held in memory; past that all are forgotten, and the file is asked again.
const STRETCHES_CACHED_MAX: usize = 400_000;
/// Rows removed at once when a device is erased.
const SLICE_SUMS: i64 = 1_024;

/// The device's number in the file, and the stretch.
type Key = (i64, Length, i64);

/// What is known without asking the file.
#[derive(Default)]
pub(super) struct Unmade {
    /// Stretches that the file has as to be made, and when each became so, by the journal's clock.
    since_us: HashMap<Key, i64>,
    /// Given out to be made. What comes meanwhile takes a stretch out again, so that what is made without it is not kept.
    making: HashSet<Key>,
    /// The time of the journal's clock at the last entry.
    pub(super) now_us: i64,
}

impl Unmade {
    pub(super) fn forget(&mut self) {
        self.since_us.clear();
        self.making.clear();
    }
}

impl Ledger {
    /// An entry of the transaction under way came: what was computed of its time is no longer so.
    pub(super) fn touch(&mut self, device: i64, entry: &Entry) -> rusqlite::Result<()> {
        let last_us = entry.first_us.saturating_add_unsigned(entry.span_us);
        self.touch_minutes(device, Length::Minute.at(entry.first_us), Length::Minute.at(last_us))
    }

    fn touch_minutes(&mut self, device: i64, first: i64, last: i64) -> rusqlite::Result<()> {
        for minute in first..=last {
            if self.touch_stretch((device, Length::Minute, minute))? {
                let hour = Length::Hour.at(minute.saturating_mul(Length::Minute.us()));
                self.touch_stretch((device, Length::Hour, hour))?;
            }
        }
        Ok(())
    }

    /// False when it was to be made already.
    fn touch_stretch(&mut self, key: Key) -> rusqlite::Result<bool> {
        let (device, length, number) = key;
        if self.unmade.since_us.contains_key(&key) {
            return Ok(false);
        }
        if self.unmade.since_us.len() >= STRETCHES_CACHED_MAX {
            self.unmade.since_us.clear();
        }
        self.unmade.since_us.insert(key, self.unmade.now_us);
        if !self.unmade.making.remove(&key) {
            let values = params![device, length.code(), number];
            self.connection
                .prepare_cached("DELETE FROM sums WHERE device = ?1 AND length = ?2 AND number = ?3")?
                .execute(values)?;
            self.connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO unsummed (device, length, number) VALUES (?1, ?2, ?3)",
                )?
                .execute(values)?;
        }
        Ok(true)
    }

    /// Entries up to this position go with the transaction under way.
    pub(crate) fn touch_through(&mut self, position: i64) -> rusqlite::Result<()> {
        let times: Vec<(i64, i64, i64)> = {
            let mut select = self.connection.prepare_cached(
                "SELECT device, first_us, max(span_us) FROM entries WHERE position <= ?1
                 GROUP BY device, first_us / 1000000",
            )?;
            let rows = select.query_map([position], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (device, first_us, span_us) in times {
            // The others of this second begin within a second of this one, and reach at most so much further.
            let [from_us, to_us] = [first_us.saturating_sub(999_999), first_us.saturating_add(999_999)];
            let last_us = to_us.saturating_add(span_us);
            self.touch_minutes(device, Length::Minute.at(from_us), Length::Minute.at(last_us))?;
        }
        Ok(())
    }

    /// Some stretches to be made, minutes first, then hours whose minutes are made. With `settle_us` those of which the first entry came
    /// the stretch's length and so much before, or at a time that is not known. What was given out before and not kept is given
    /// out again.
    pub(crate) fn take_unmade(
        &mut self,
        now_us: i64,
        settle_us: Option<u64>,
        limit: usize,
    ) -> rusqlite::Result<Vec<Stretch>> {
        self.unmade.making.clear();
        let mut taken = Vec::new();
        for length in [Length::Minute, Length::Hour] {
            let age_us = settle_us.map_or(0, |settle_us| settle_us.saturating_add_signed(length.us()));
            taken.extend(self.due(length, now_us, age_us, limit - taken.len())?);
        }
        let mut stretches = Vec::with_capacity(taken.len());
        for (key, device) in taken {
            self.unmade.since_us.remove(&key);
            self.unmade.making.insert(key);
            stretches.push(Stretch { device, length: key.1, number: key.2 });
        }
        Ok(stretches)
    }

    fn due(
        &self,
        length: Length,
        now_us: i64,
        age_us: u64,
        limit: usize,
    ) -> rusqlite::Result<Vec<(Key, DeviceId)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT unsummed.device, number, name FROM unsummed JOIN devices ON devices.id = unsummed.device
             WHERE length = ?1 AND (?1 = 60 OR NOT EXISTS (
                 SELECT 1 FROM unsummed AS minutes WHERE minutes.length = 60 AND minutes.device = unsummed.device
                   AND minutes.number >= unsummed.number * 60 AND minutes.number < unsummed.number * 60 + 60))
             ORDER BY unsummed.device, number",
        )?;
        let mut rows = select.query([length.code()])?;
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(row) = rows.next()?
        {
            let key = (row.get(0)?, length, row.get(1)?);
            let is_settled = |since_us: &i64| now_us.abs_diff(*since_us) >= age_us;
            if self.unmade.since_us.get(&key).is_none_or(is_settled)
                && let Ok(device) = row.get_ref(2)?.as_str()?.parse()
            {
                due.push((key, device));
            }
        }
        Ok(due)
    }

    /// Keeps what was made, within the transaction under way, unless an entry came or went meanwhile. One that is empty says
    /// that there is nothing in the stretch.
    pub(crate) fn keep_sum(&mut self, stretch: &Stretch, body: &Bytes) -> rusqlite::Result<()> {
        let Some(device) = self.known_device(&stretch.device)? else { return Ok(()) };
        if !self.unmade.making.remove(&(device, stretch.length, stretch.number)) {
            return Ok(());
        }
        let (length, number) = (stretch.length.code(), stretch.number);
        if !body.is_empty() {
            self.connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO sums (device, length, number, body) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![device, length, number, &body[..]])?;
        }
        self.connection
            .prepare_cached("DELETE FROM unsummed WHERE device = ?1 AND length = ?2 AND number = ?3")?
            .execute(params![device, length, number])?;
        Ok(())
    }

    pub(crate) fn erase_sums(&mut self, device: i64) -> rusqlite::Result<()> {
        loop {
            let gone = self.transact(|ledger| {
                ledger.connection.execute(
                    "DELETE FROM sums WHERE (device, length, number) IN
                       (SELECT device, length, number FROM sums WHERE device = ?1 LIMIT ?2)",
                    params![device, SLICE_SUMS],
                )
            })?;
            if gone == 0 {
                return Ok(());
            }
        }
    }
}
