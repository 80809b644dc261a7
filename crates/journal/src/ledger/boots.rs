//! The boots of devices: up to which number each is held, and how its clock was mapped. A bounded number a device is
//! remembered.

use rusqlite::{OptionalExtension, params};
use vitalwire_access::DeviceId;

use super::{Ledger, STREAMS_CACHED_MAX, StreamKey, signed};
use crate::boot_clock::BootClock;
use crate::limits::BOOTS_PER_DEVICE_MAX;
use crate::stream::{Missing, Stream};

/// Clocks that wait for the next transaction; past that it is made at once.
pub(crate) const CLOCKS_WAITING_MAX: usize = 1_024;

impl Ledger {
    pub(super) fn stream(&mut self, key: StreamKey) -> rusqlite::Result<&mut Stream> {
        if !self.streams.contains_key(&key) {
            if self.streams.len() >= STREAMS_CACHED_MAX {
                self.write_touched()?;
                self.streams.clear();
                self.devices.clear();
            }
            let stream = match self.load_stream(key)? {
                Some(stream) => stream,
                None => self.begin_boot(key)?,
            };
            self.streams.insert(key, stream);
        }
        Ok(self.streams.entry(key).or_default())
    }

    pub(crate) fn load_stream(&self, (device, boot): StreamKey) -> rusqlite::Result<Option<Stream>> {
        let boot = boot.cast_signed();
        let mut find =
            self.connection.prepare_cached("SELECT highest FROM boots WHERE device = ?1 AND boot = ?2")?;
        let Some(highest) = find.query_row(params![device, boot], |row| row.get::<_, i64>(0)).optional()?
        else {
            return Ok(None);
        };
        let mut ranges = self.connection.prepare_cached(
            "SELECT first, last, noticed_us, given_up FROM gaps
             WHERE device = ?1 AND boot = ?2 AND closed_us IS NULL AND given_up < 2",
        )?;
        let missing = ranges.query_map(params![device, boot], |row| {
            Ok(Missing {
                first: row.get::<_, i64>(0)?.unsigned_abs(),
                last: row.get::<_, i64>(1)?.unsigned_abs(),
                noticed_us: row.get(2)?,
                given_up: row.get(3)?,
            })
        })?;
        Ok(Some(Stream::load(highest.unsigned_abs(), missing.collect::<rusqlite::Result<Vec<_>>>()?)))
    }

    /// Makes room among the boots of the device, if need be, and the row of this one.
    fn begin_boot(&mut self, (device, boot): StreamKey) -> rusqlite::Result<Stream> {
        let known: u32 = self
            .connection
            .prepare_cached("SELECT count(*) FROM boots WHERE device = ?1")?
            .query_row([device], |row| row.get(0))?;
        if known >= BOOTS_PER_DEVICE_MAX {
            self.write_touched()?;
            let oldest: i64 = self
                .connection
                .prepare_cached("SELECT boot FROM boots WHERE device = ?1 ORDER BY used_position LIMIT 1")?
                .query_row([device], |row| row.get(0))?;
            for table in ["boots", "gaps"] {
                self.connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE device = ?1 AND boot = ?2"))?
                    .execute([device, oldest])?;
            }
            self.streams.remove(&(device, oldest.cast_unsigned()));
        }
        self.connection
            .prepare_cached(
                "INSERT INTO boots (device, boot, highest, used_position) VALUES (?1, ?2, 0, ?3)",
            )?
            .execute(params![device, boot.cast_signed(), signed(self.head)])?;
        Ok(Stream::default())
    }

    /// Once a transaction and sequence, not once an entry.
    pub(super) fn write_touched(&mut self) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached(
            "UPDATE boots SET highest = ?3, used_position = max(used_position, ?4) WHERE device = ?1 AND boot = ?2",
        )?;
        let head = signed(self.head);
        for (device, boot) in self.touched.drain() {
            let highest = self.streams.get(&(device, boot)).map_or(0, Stream::highest);
            update.execute(params![device, boot.cast_signed(), signed(highest), head])?;
        }
        Ok(())
    }

    /// The number up to which everything is held, or given up by the device.
    pub(crate) fn last_sequence(&self, device: &DeviceId, boot: u64) -> rusqlite::Result<Option<u64>> {
        let Some(number) = self.known_device(device)? else { return Ok(None) };
        if let Some(stream) = self.streams.get(&(number, boot)) {
            return Ok(stream.contiguous());
        }
        Ok(self.load_stream((number, boot))?.and_then(|stream| stream.contiguous()))
    }

    /// Remembers how the boot's clock was mapped; it reaches the file with the next transaction.
    pub(crate) fn note_clock(&mut self, device: DeviceId, boot: u64, clock: BootClock) {
        self.clocks.retain(|(of, noted, _)| (of, *noted) != (&device, boot));
        self.clocks.push((device, boot, clock));
    }

    pub(crate) fn clocks_waiting(&self) -> usize {
        self.clocks.len()
    }

    pub(crate) fn forget_clocks(&mut self, device: &DeviceId) {
        self.clocks.retain(|(of, _, _)| of != device);
    }

    pub(crate) fn drop_clocks(&mut self) {
        self.clocks.clear();
    }

    pub(super) fn write_clocks(&mut self) -> rusqlite::Result<()> {
        for (device, boot, clock) in self.clocks.clone() {
            let number = self.device_number(&device)?;
            self.stream((number, boot))?;
            self.connection
                .prepare_cached(
                    "UPDATE boots SET clock_offset_us = ?3, clock_uncertainty_us = ?4, clock_set_at_us = ?5,
                            clock_mapped_us = ?6, used_position = max(used_position, ?7)
                     WHERE device = ?1 AND boot = ?2",
                )?
                .execute(params![
                    number,
                    boot.cast_signed(),
                    clock.offset_us,
                    signed(clock.uncertainty_us),
                    signed(clock.set_at_us),
                    clock.mapped_us,
                    signed(self.head)
                ])?;
        }
        Ok(())
    }

    /// How the boot's clock was mapped, if it was and is remembered.
    pub(crate) fn boot_clock(&self, device: &DeviceId, boot: u64) -> rusqlite::Result<Option<BootClock>> {
        let waiting = self.clocks.iter().find(|(of, noted, _)| (of, *noted) == (device, boot));
        if let Some((_, _, clock)) = waiting {
            return Ok(Some(*clock));
        }
        let mut find = self.connection.prepare_cached(
            "SELECT clock_offset_us, clock_uncertainty_us, clock_set_at_us, clock_mapped_us FROM boots
             WHERE device = (SELECT id FROM devices WHERE name = ?1) AND boot = ?2
               AND clock_mapped_us IS NOT NULL",
        )?;
        let clock = find.query_row(params![device.as_str(), boot.cast_signed()], |row| {
            Ok(BootClock {
                offset_us: row.get(0)?,
                uncertainty_us: row.get::<_, i64>(1)?.unsigned_abs(),
                set_at_us: row.get::<_, i64>(2)?.unsigned_abs(),
                mapped_us: row.get(3)?,
            })
        });
        clock.optional()
    }
}
