//! The writer's hold on the database: entries, sequences and gaps, each group of changes in one transaction. It knows no
//! channel and no waiting; what it remembers in memory is what the file says, and is forgotten when a transaction fails.

use crate::entry::{Entry, Outcome, Refusal};
use crate::error::Result;
use crate::limits::{BOOTS_PER_DEVICE_MAX, JournalLimits};
use crate::schema;
use crate::stream::{Missing, Offer, Stream};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use vitalwire_access::DeviceId;

/// The most sequences and device numbers held in memory; past that all are forgotten and read again as they are needed.
const STREAMS_CACHED_MAX: usize = 200_000;

/// One boot of one device: the device's number in the file, and the boot.
pub(crate) type StreamKey = (i64, u64);

pub(crate) struct Ledger {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) limits: JournalLimits,
    pub(crate) page_size: u64,
    devices: HashMap<DeviceId, i64>,
    streams: HashMap<StreamKey, Stream>,
    /// Sequences changed by the transaction under way, each with the time of its last entry.
    touched: HashMap<StreamKey, i64>,
    /// The highest position given out, the transaction under way included.
    pub(crate) head: u64,
}

impl Ledger {
    pub(crate) fn open(path: &Path, limits: &JournalLimits) -> Result<Self> {
        let connection = schema::connect_writer(path, limits)?;
        let page_size = pragma(&connection, "page_size")?;
        let head = connection.query_row(
            "SELECT max(head, (SELECT coalesce(max(position), 0) FROM entries)) FROM state",
            [],
            |row| row.get::<_, i64>(0),
        )?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            limits: limits.clone(),
            page_size,
            devices: HashMap::new(),
            streams: HashMap::new(),
            touched: HashMap::new(),
            head: head.unsigned_abs(),
        })
    }

    /// Leaves a connection that a failing disk may have left in doubt, and opens the file again.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        *self = Self::open(&self.path, &self.limits)?;
        Ok(())
    }

    /// Runs one transaction, all or nothing, on the disk when it returns.
    pub(crate) fn transact<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let head = self.head;
        let result = self
            .connection
            .execute_batch("BEGIN IMMEDIATE")
            .and_then(|()| run(self))
            .and_then(|value| self.write_touched().map(|()| value))
            .and_then(|value| self.connection.execute_batch("COMMIT").map(|()| value));
        if result.is_err() {
            if !self.connection.is_autocommit() {
                // A rollback that fails leaves nothing committed either: the connection is opened again after it.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            self.forget_memory();
            self.head = head;
        }
        result
    }

    pub(crate) fn forget_memory(&mut self) {
        self.devices.clear();
        self.streams.clear();
        self.touched.clear();
    }

    /// Takes one entry into the transaction under way.
    pub(crate) fn take(&mut self, entry: &Entry) -> rusqlite::Result<Outcome> {
        let device = self.device_number(&entry.device)?;
        let key = (device, entry.boot);
        let stream = self.stream(key, entry.received_us)?;
        let gaps = stream.gaps();
        match stream.offer(entry.sequence, entry.received_us) {
            Offer::Duplicate => return Ok(Outcome::Duplicate),
            Offer::TooManyGaps => return Ok(Outcome::Refused(Refusal::TooManyGaps { gaps })),
            Offer::Next => {}
            Offer::Opens(gap) => self.insert_gap(key, &gap)?,
            Offer::Fills { was, left } => self.fill_gap(key, entry, &was, &left)?,
        }
        self.touched.insert(key, entry.received_us);
        self.head += 1;
        self.insert_entry(device, entry)?;
        Ok(Outcome::Committed { position: self.head })
    }

    fn insert_entry(&self, device: i64, entry: &Entry) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO entries (position, device, boot, sequence, received_us, first_us, span_us, uncertainty_us,
                                  samples, assurance, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        statement.execute(params![
            signed(self.head),
            device,
            entry.boot.cast_signed(),
            signed(entry.sequence),
            entry.received_us,
            entry.first_us,
            signed(entry.span_us),
            signed(entry.uncertainty_us),
            entry.samples,
            entry.assurance.code(),
            &entry.body[..],
        ])?;
        Ok(())
    }

    fn device_number(&mut self, device: &DeviceId) -> rusqlite::Result<i64> {
        if let Some(number) = self.devices.get(device) {
            return Ok(*number);
        }
        let number = match self.known_device(device)? {
            Some(number) => number,
            None => {
                let mut insert = self.connection.prepare_cached("INSERT INTO devices (name) VALUES (?1)")?;
                insert.insert([device.as_str()])?
            }
        };
        self.devices.insert(device.clone(), number);
        Ok(number)
    }

    pub(crate) fn known_device(&self, device: &DeviceId) -> rusqlite::Result<Option<i64>> {
        let mut find = self.connection.prepare_cached("SELECT id FROM devices WHERE name = ?1")?;
        find.query_row([device.as_str()], |row| row.get(0)).optional()
    }

    fn stream(&mut self, key: StreamKey, now_us: i64) -> rusqlite::Result<&mut Stream> {
        if !self.streams.contains_key(&key) {
            if self.streams.len() >= STREAMS_CACHED_MAX {
                self.write_touched()?;
                self.streams.clear();
                self.devices.clear();
            }
            let stream = match self.load_stream(key)? {
                Some(stream) => stream,
                None => self.begin_boot(key, now_us)?,
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
             WHERE device = ?1 AND boot = ?2 AND closed_us IS NULL",
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
    fn begin_boot(&mut self, (device, boot): StreamKey, now_us: i64) -> rusqlite::Result<Stream> {
        let known: u32 = self
            .connection
            .prepare_cached("SELECT count(*) FROM boots WHERE device = ?1")?
            .query_row([device], |row| row.get(0))?;
        if known >= BOOTS_PER_DEVICE_MAX {
            self.write_touched()?;
            let oldest: i64 = self
                .connection
                .prepare_cached("SELECT boot FROM boots WHERE device = ?1 ORDER BY used_us LIMIT 1")?
                .query_row([device], |row| row.get(0))?;
            for table in ["boots", "gaps"] {
                self.connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE device = ?1 AND boot = ?2"))?
                    .execute([device, oldest])?;
            }
            self.streams.remove(&(device, oldest.cast_unsigned()));
        }
        self.connection
            .prepare_cached("INSERT INTO boots (device, boot, highest, used_us) VALUES (?1, ?2, 0, ?3)")?
            .execute(params![device, boot.cast_signed(), now_us])?;
        Ok(Stream::default())
    }

    /// Once a transaction and sequence, not once an entry.
    fn write_touched(&mut self) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached(
            "UPDATE boots SET highest = ?3, used_us = max(used_us, ?4) WHERE device = ?1 AND boot = ?2",
        )?;
        for ((device, boot), used_us) in self.touched.drain() {
            let highest = self.streams.get(&(device, boot)).map_or(0, Stream::highest);
            update.execute(params![device, boot.cast_signed(), signed(highest), used_us])?;
        }
        Ok(())
    }

    fn insert_gap(&self, (device, boot): StreamKey, gap: &Missing) -> rusqlite::Result<()> {
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
    fn fill_gap(
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
    ) -> rusqlite::Result<Result<Option<u64>, Refusal>> {
        let key = (self.device_number(device)?, boot);
        let stream = self.stream(key, now_us)?;
        let gaps = stream.gaps();
        let Some(change) = stream.give_up(below, now_us) else {
            return Ok(Err(Refusal::TooManyGaps { gaps }));
        };
        let contiguous = stream.contiguous();
        change.replaced.iter().try_for_each(|first| self.remove_gap(key, *first))?;
        change.by.iter().try_for_each(|gap| self.insert_gap(key, gap))?;
        self.touched.insert(key, now_us);
        Ok(Ok(contiguous))
    }

    /// The number up to which everything is held, or given up by the device.
    pub(crate) fn last_sequence(&self, device: &DeviceId, boot: u64) -> rusqlite::Result<Option<u64>> {
        let Some(number) = self.known_device(device)? else { return Ok(None) };
        if let Some(stream) = self.streams.get(&(number, boot)) {
            return Ok(stream.contiguous());
        }
        Ok(self.load_stream((number, boot))?.and_then(|stream| stream.contiguous()))
    }

    /// What entries, indexes and all else take in the file; free pages, which are used again, not counted.
    pub(crate) fn used_bytes(&self) -> rusqlite::Result<u64> {
        let pages = pragma(&self.connection, "page_count")?;
        Ok(pages.saturating_sub(self.free_pages()?) * self.page_size)
    }

    pub(crate) fn free_pages(&self) -> rusqlite::Result<u64> {
        pragma(&self.connection, "freelist_count")
    }
}

pub(crate) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA {name}"))?;
    statement.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// For numbers that were checked to fit on their way in, or that count what is in the file.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
