//! What the device keeps in flash besides its outbox: its settings, what went wrong last, a seed for its random source,
//! and whose batches lie in its outbox. It knows nothing of what they mean.
//!
//! ```text
//! sector: record … | erased
//! record: mark, length of the body u16, generation u32, CRC-32 u32 | body | padding to the flash's unit
//! body:   CBOR {? 1: settings, ? 2: number of the trouble, ? 3: seed, ? 4: tag of the outbox's owner, * later firmware's}
//! ```
//!
//! A record holds everything, and the whole one of the highest generation counts. A new one is written behind it, or at
//! the begin of the next sector, which is erased first: the newest is never in the sector that is erased. So power may go
//! at any byte, also in the middle of an erase, whatever that leaves behind. After a start nothing is appended to a sector
//! of before, for what a torn word reads as is undefined.
//!
//! Wear: a sector of 4 KiB takes 8 of the longest records, about 20 of ordinary ones, and 100,000 erasures (W25Q16JV datasheet
//! §3). Since each start writes a seed, and behind a restart nothing is appended, each start erases one sector: with four of
//! them, 400,000 starts. That is for ever for a device that people switch on, 280 days for one whose watchdog restarts it each
//! minute, and days for a program that panics within a second of each start: it should not be left in that for long.
//! What the collector writes is limited by itself.

mod body;

use body::{Body, Value, field};
use embedded_storage::nor_flash::NorFlash;
use zeroize::Zeroizing;

use crate::crc::Crc32;
use crate::identity::TAG_LEN;
use crate::settings::{self, Settings};
use crate::status::Trouble;

/// Bytes of the seed.
pub const SEED_LEN: usize = 32;

const MARK: [u8; 2] = *b"Vs";
const HEAD_LEN: usize = 12;
/// No flash with larger words is used.
const UNIT_LEN_MAX: usize = 64;
/// Bytes of the longest record with its padding, of any firmware: a longer one would not be read by those before.
const RECORD_LEN_MAX: usize = 512;
const _: () = assert!(RECORD_LEN_MAX.is_multiple_of(UNIT_LEN_MAX));
/// One is erased while another holds.
const SECTORS_MIN: u32 = 2;
/// Sectors tried to be written before a value is given up.
const WRITE_TRIES: u32 = 2;

/// Why something could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error(
        "a flash of {len} bytes cannot hold settings; at least two sectors are needed, in words of at most 64 bytes"
    )]
    Region { len: usize },
    #[error("the flash could not be written; the device needs repair if this comes again")]
    Flash,
}

/// A record that was written whole.
#[derive(Clone, Copy, Debug)]
struct Newest {
    at: u32,
    len: usize,
    generation: u32,
    sector: u32,
}

type Record = Zeroizing<[u8; RECORD_LEN_MAX]>;

/// The records in their region of the flash.
pub struct SettingsStore<F> {
    flash: F,
    unit: usize,
    sector_len: u32,
    sectors: u32,
    newest: Option<Newest>,
    /// Where the next record may go; `None` until a sector was erased since the start.
    free: Option<u32>,
    /// The sector that was erased last, or that of the newest record.
    sector: u32,
}

impl<F: NorFlash> SettingsStore<F> {
    /// The store in the whole of `flash`, usually a [`Partition`](crate::flash::Partition) of it. Reads it; writes nothing.
    ///
    /// # Errors
    /// It is too small, or not of whole sectors.
    pub fn new(flash: F) -> Result<Self, StoreError> {
        let len = flash.capacity();
        let refused = StoreError::Region { len };
        let unit = F::READ_SIZE.max(F::WRITE_SIZE);
        let is_usable = unit.is_power_of_two()
            && unit <= UNIT_LEN_MAX
            && F::ERASE_SIZE.is_multiple_of(unit)
            && F::ERASE_SIZE >= RECORD_LEN_MAX;
        let sectors = len.checked_div(F::ERASE_SIZE).and_then(|sectors| u32::try_from(sectors).ok());
        let (Ok(sector_len), Some(sectors)) = (u32::try_from(F::ERASE_SIZE), sectors) else {
            return Err(refused);
        };
        if !is_usable || sectors < SECTORS_MIN || u32::try_from(len).is_err() {
            return Err(refused);
        }
        let mut store =
            Self { flash, unit, sector_len, sectors, newest: None, free: None, sector: sectors - 1 };
        for sector in 0..sectors {
            store.scan(sector);
        }
        store.sector = store.newest.map_or(store.sector, |newest| newest.sector);
        Ok(store)
    }

    /// The settings that were saved last; `None` where none were, or none that this firmware reads.
    pub fn load(&mut self) -> Option<Settings> {
        Settings::decode(self.body().bytes(field::SETTINGS)?).ok()
    }

    /// Keeps settings, with which nothing went wrong yet. When it returns, they are there after a power cut.
    ///
    /// # Errors
    /// The flash could not be written: the settings of before are there.
    pub fn save(&mut self, settings: &Settings) -> Result<(), StoreError> {
        let mut bytes = Zeroizing::new([0; settings::ENCODED_LEN_MAX]);
        let len = settings.encode(bytes.as_mut()).map_err(|_| StoreError::Flash)?;
        let settings = Value::Bytes(bytes.get(..len).unwrap_or_default());
        let body = self.body().with(field::TROUBLE, None);
        self.write(body.and_then(|body| body.with(field::SETTINGS, Some(settings))))
    }

    /// What went wrong last, as it was saved.
    pub fn trouble(&mut self) -> Option<Trouble> {
        Trouble::from_number(self.body().number(field::TROUBLE)?)
    }

    /// Keeps what went wrong last, or that nothing is wrong. Written only when it changes, as flash wears.
    ///
    /// # Errors
    /// The flash could not be written.
    pub fn save_trouble(&mut self, trouble: Option<Trouble>) -> Result<(), StoreError> {
        let body = self.body();
        let number = trouble.map(|trouble| trouble as u8);
        if body.number(field::TROUBLE) == number {
            return Ok(());
        }
        self.write(body.with(field::TROUBLE, number.map(Value::Number)))
    }

    /// The seed that was saved last.
    pub fn seed(&mut self) -> Option<[u8; SEED_LEN]> {
        self.body().bytes(field::SEED)?.try_into().ok()
    }

    /// Keeps a seed for the next start.
    ///
    /// # Errors
    /// The flash could not be written.
    pub fn save_seed(&mut self, seed: &[u8; SEED_LEN]) -> Result<(), StoreError> {
        let body = self.body().with(field::SEED, Some(Value::Bytes(seed)));
        self.write(body)
    }

    /// The tag of the device that the batches in the outbox are of.
    pub fn owner(&mut self) -> Option<[u8; TAG_LEN]> {
        self.body().bytes(field::OWNER)?.try_into().ok()
    }

    /// Keeps that tag.
    ///
    /// # Errors
    /// The flash could not be written.
    pub fn save_owner(&mut self, tag: &[u8; TAG_LEN]) -> Result<(), StoreError> {
        let body = self.body().with(field::OWNER, Some(Value::Bytes(tag)));
        self.write(body)
    }

    /// The flash, for a test to look into.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Looks for the newest record in a sector. What follows a record that is not whole cannot be known.
    fn scan(&mut self, sector: u32) {
        let mut record = blank();
        let end = (sector + 1) * self.sector_len;
        let mut at = sector * self.sector_len;
        while let Some((generation, len)) = self.read(at, end, &mut record) {
            if self.newest.is_none_or(|newest| newest.generation < generation) {
                self.newest = Some(Newest { at, len, generation, sector });
            }
            at += self.padded(len);
        }
    }

    /// Reads a record at `at`, if a whole one is there: its generation and its length without padding.
    fn read(&mut self, at: u32, end: u32, record: &mut Record) -> Option<(u32, usize)> {
        let available = usize::try_from(end.checked_sub(at)?).ok()?.min(RECORD_LEN_MAX);
        let head_len = HEAD_LEN.next_multiple_of(self.unit);
        if available < head_len {
            return None;
        }
        self.flash.read(at, record.get_mut(..head_len)?).ok()?;
        let (mark, rest) = record.split_first_chunk::<2>()?;
        let (body_len, rest) = rest.split_first_chunk::<2>()?;
        let generation = u32::from_le_bytes(*rest.first_chunk()?);
        let len = HEAD_LEN + usize::from(u16::from_le_bytes(*body_len));
        let padded = len.next_multiple_of(self.unit);
        if *mark != MARK || padded > available {
            return None;
        }
        self.flash.read(at, record.get_mut(..padded)?).ok()?;
        (check_of(record, len)? == *record.get(HEAD_LEN - 4..HEAD_LEN)?).then_some((generation, len))
    }

    /// What the newest record holds.
    fn body(&mut self) -> Body {
        let mut record = blank();
        let Some(Newest { at, len, .. }) = self.newest else {
            return Body::default();
        };
        let end = at + self.padded(len);
        match self.read(at, end, &mut record) {
            Some((_, len)) => Body::new(record.get(HEAD_LEN..len).unwrap_or_default()),
            None => Body::default(),
        }
    }

    /// Writes this body; `None` is one that has no room.
    fn write(&mut self, body: Option<Body>) -> Result<(), StoreError> {
        let generation = self.newest.map_or(0, |newest| newest.generation).wrapping_add(1);
        let mut record = blank();
        let body = body.ok_or(StoreError::Flash)?;
        let len = put(&body, generation, &mut record).ok_or(StoreError::Flash)?;
        for _ in 0..WRITE_TRIES {
            let Some(at) = self.room(self.padded(len)) else {
                continue;
            };
            // What was begun is not written again, whatever comes of it.
            self.free = None;
            let bytes = record.get(..len.next_multiple_of(self.unit)).unwrap_or_default();
            let is_written = self.flash.write(at, bytes).is_ok();
            let mut written = blank();
            let end = at + self.padded(len);
            if is_written && self.read(at, end, &mut written) == Some((generation, len)) {
                self.newest = Some(Newest { at, len, generation, sector: self.sector });
                self.free = Some(end);
                return Ok(());
            }
        }
        Err(StoreError::Flash)
    }

    /// Where so many bytes can be written: behind the last record, or in the next sector, once it is erased.
    fn room(&mut self, len: u32) -> Option<u32> {
        let end = (self.sector + 1) * self.sector_len;
        if let Some(free) = self.free.filter(|free| free.saturating_add(len) <= end) {
            return Some(free);
        }
        self.free = None;
        let after = |sector: u32| (sector + 1) % self.sectors;
        self.sector = match (after(self.sector), self.newest) {
            (sector, Some(newest)) if sector == newest.sector => after(sector),
            (sector, _) => sector,
        };
        let at = self.sector * self.sector_len;
        self.flash.erase(at, at + self.sector_len).ok()?;
        Some(at)
    }

    /// Bytes of a record with its padding; it is no longer than [`RECORD_LEN_MAX`].
    fn padded(&self, len: usize) -> u32 {
        u32::try_from(len.next_multiple_of(self.unit)).unwrap_or(u32::MAX)
    }
}

/// As erased: that is the padding of a record.
fn blank() -> Record {
    Record::new([0xff; RECORD_LEN_MAX])
}

/// The check of a record of so many bytes: over all of it but the check.
fn check_of(record: &Record, len: usize) -> Option<[u8; 4]> {
    let (head, body) = record.get(..len)?.split_at_checked(HEAD_LEN)?;
    Some(Crc32::new().over(head.get(..HEAD_LEN - 4)?).over(body).end().to_le_bytes())
}

/// Puts a record of this body into `record` and returns its length.
fn put(body: &Body, generation: u32, record: &mut Record) -> Option<usize> {
    let body = body.as_bytes();
    let len = HEAD_LEN + body.len();
    record.get_mut(..2)?.copy_from_slice(&MARK);
    record.get_mut(2..4)?.copy_from_slice(&u16::try_from(body.len()).ok()?.to_le_bytes());
    record.get_mut(4..8)?.copy_from_slice(&generation.to_le_bytes());
    record.get_mut(HEAD_LEN..len)?.copy_from_slice(body);
    let check = check_of(record, len)?;
    record.get_mut(8..HEAD_LEN)?.copy_from_slice(&check);
    Some(len)
}
