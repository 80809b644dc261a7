//! The writer's hold on the database: entries, sequences and gaps, each group of changes in one transaction. It knows no
//! channel and no waiting; what it remembers in memory is what the file says, and is forgotten when a transaction fails.

mod boots;
mod clock;
mod gaps;
mod sums;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

pub(crate) use boots::CLOCKS_WAITING_MAX;
pub(crate) use clock::read_clock;
use rusqlite::{Connection, OptionalExtension, params};
use vitalwire_access::DeviceId;

use crate::boot_clock::BootClock;
use crate::entry::{Entry, Outcome, Refusal};
use crate::error::Result;
use crate::limits::JournalLimits;
use crate::schema;
use crate::stream::{Offer, Stream};

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
    /// Sequences changed by the transaction under way.
    touched: HashSet<StreamKey>,
    /// Clocks of boots that are not in the file yet: they go with the next transaction.
    clocks: Vec<(DeviceId, u64, BootClock)>,
    unmade: sums::Unmade,
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
            touched: HashSet::new(),
            clocks: Vec::new(),
            unmade: sums::Unmade::default(),
            head: head.unsigned_abs(),
        })
    }

    /// Leaves a connection that a failing disk may have left in doubt, and opens the file again.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        let clocks = std::mem::take(&mut self.clocks);
        let reopened = Self::open(&self.path, &self.limits);
        match reopened {
            Ok(ledger) => *self = Self { clocks, ..ledger },
            Err(error) => {
                self.clocks = clocks;
                return Err(error);
            }
        }
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
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]).map(drop))
            .and_then(|()| run(self))
            .and_then(|value| self.write_touched().map(|()| value))
            .and_then(|value| self.write_clocks().map(|()| value))
            .and_then(|value| self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| value));
        if result.is_err() {
            if !self.connection.is_autocommit() {
                // A rollback that fails leaves nothing committed either: the connection is opened again after it.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            self.forget_memory();
            self.head = head;
        } else {
            self.clocks.clear();
        }
        result
    }

    pub(crate) fn forget_memory(&mut self) {
        self.devices.clear();
        self.streams.clear();
        self.touched.clear();
        self.unmade.forget();
    }

    /// Takes one entry into the transaction under way, at a time of the journal's own clock.
    pub(crate) fn take(&mut self, entry: &Entry, kept_us: i64) -> rusqlite::Result<Outcome> {
        let device = self.device_number(&entry.device)?;
        let key = (device, entry.boot);
        let offer = loop {
            let stream = self.stream(key)?;
            let gaps = stream.gaps();
            match stream.offer(entry.sequence, entry.received_us) {
                Offer::TooManyGaps if self.fold_oldest_gap(key)? => {}
                Offer::TooManyGaps => return Ok(Outcome::Refused(Refusal::TooManyGaps { gaps })),
                offer => break offer,
            }
        };
        match offer {
            Offer::Duplicate => return Ok(Outcome::Duplicate),
            Offer::Next | Offer::TooManyGaps => {}
            Offer::Opens(gap) => self.insert_gap(key, &gap)?,
            Offer::Fills { was, left } => self.fill_gap(key, entry, &was, &left)?,
        }
        self.touched.insert(key);
        self.head += 1;
        self.unmade.now_us = kept_us;
        self.touch(device, entry)?;
        self.insert_entry(device, entry, kept_us)?;
        Ok(Outcome::Committed { position: self.head })
    }

    fn insert_entry(&self, device: i64, entry: &Entry, kept_us: i64) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO entries (position, device, boot, sequence, received_us, first_us, span_us, uncertainty_us,
                                  samples, assurance, body, kept_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
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
            kept_us,
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
