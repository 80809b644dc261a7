//! The gaps in the sequences of boots, as they are on record.

use rusqlite::params;
use vitalwire_access::DeviceId;

use super::{Ledger, StreamKey, signed};
use crate::entry::Entry;
use crate::stream::{GAPS_PER_BOOT_MAX, Missing};

impl Ledger {
    pub(super) fn insert_gap(&self, (device, boot): StreamKey, gap: &Missing) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO gaps (device, boot, first, last, noticed_us, given_up) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                device,
                boot.cast_signed(),
                signed(gap.first),
                signed(gap.last),
                gap.noticed_us,
                gap.given_up
            ])?;
        Ok(())
    }

    fn remove_gap(&self, (device, boot): StreamKey, first: u64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM gaps WHERE device = ?1 AND boot = ?2 AND first = ?3")?
            .execute(params![device, boot.cast_signed(), signed(first)])?;
        Ok(())
    }

    /// Puts what remains in the place of the range, and keeps a closed row of what was filled: one row for a run that is
    /// filled in order.
    pub(super) fn fill_gap(
        &self,
        key: StreamKey,
        entry: &Entry,
        was: &Missing,
        left: &[Missing],
    ) -> rusqlite::Result<()> {
        self.remove_gap(key, was.first)?;
        left.iter().try_for_each(|gap| self.insert_gap(key, gap))?;
        let (device, boot) = key;
        let sequence = signed(entry.sequence);
        let values =
            params![device, boot.cast_signed(), sequence, was.noticed_us, was.given_up, entry.received_us];
        let extended = self
            .connection
            .prepare_cached(
                "UPDATE gaps SET last = ?3, closed_us = ?6
                 WHERE device = ?1 AND boot = ?2 AND closed_us IS NOT NULL AND last = ?3 - 1
                   AND noticed_us = ?4 AND given_up = ?5
                   AND first = (SELECT max(first) FROM gaps WHERE device = ?1 AND boot = ?2 AND first < ?3)",
            )?
            .execute(values)?;
        if extended == 0 {
            self.connection
                .prepare_cached(
                    "INSERT INTO gaps (device, boot, first, last, noticed_us, given_up, closed_us)
                     VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
                )?
                .execute(values)?;
        }
        Ok(())
    }

    /// Notes that a device will send nothing below `below` any more.
    pub(crate) fn give_up(
        &mut self,
        device: &DeviceId,
        boot: u64,
        below: u64,
        now_us: i64,
    ) -> rusqlite::Result<Option<u64>> {
        let key = (self.device_number(device)?, boot);
        let stream = self.stream(key)?;
        let change = stream.give_up(below, now_us);
        let contiguous = stream.contiguous();
        change.replaced.iter().try_for_each(|first| self.remove_gap(key, *first))?;
        change.by.iter().try_for_each(|gap| self.insert_gap(key, gap))?;
        while self.stream(key)?.gaps() > GAPS_PER_BOOT_MAX && self.fold_oldest_gap(key)? {}
        self.touched.insert(key);
        Ok(contiguous)
    }

    /// Makes room for one more gap: the oldest that was given up joins the boot's one folded row. False when none was given
    /// up.
    pub(super) fn fold_oldest_gap(&mut self, key: StreamKey) -> rusqlite::Result<bool> {
        let Some(gap) = self.stream(key)?.fold_oldest() else { return Ok(false) };
        self.remove_gap(key, gap.first)?;
        let (device, boot) = key;
        let numbers = signed(gap.last - gap.first + 1);
        let values =
            params![device, boot.cast_signed(), signed(gap.first), signed(gap.last), gap.noticed_us, numbers];
        let joined = self
            .connection
            .prepare_cached(
                "UPDATE gaps SET first = min(first, ?3), last = max(last, ?4), noticed_us = max(noticed_us, ?5),
                        numbers = numbers + ?6
                 WHERE device = ?1 AND boot = ?2 AND given_up = 2",
            )?
            .execute(values)?;
        if joined == 0 {
            self.connection
                .prepare_cached(
                    "INSERT INTO gaps (device, boot, first, last, noticed_us, given_up, numbers)
                     VALUES (?1, ?2, ?3, ?4, ?5, 2, ?6)",
                )?
                .execute(values)?;
        }
        Ok(true)
    }
}
