//! The older batches, in flash: a ring of sectors that is only ever appended to.
//!
//! A power cut at any word leaves it readable: a record counts only when its check holds, and after a start nothing is
//! appended to a sector of before, for what a torn word reads as is undefined. A sector whose batches are all acknowledged
//! gets a done mark; it is erased when it is needed again. When all are full, the oldest goes with what it holds.

use embedded_storage::nor_flash::NorFlash;

use super::copy;
use super::layout::{ERASED, RECORD_HEAD_LEN, RecordHead, SECTOR_HEAD_LEN, SectorHead};

/// Bytes that are moved between flash and memory at once. No flash with larger words is used.
const STAGE_LEN: usize = 256;
/// Bytes of the done mark at least, so that a torn mark is not taken for one.
const DONE_LEN_MIN: usize = 4;
/// A flash of fewer sectors is not used: one is erased while the others hold.
const SECTORS_MIN: u32 = 2;
/// Sectors tried to be opened before a batch is given up.
const OPEN_TRIES: u32 = 2;

/// A place in the log: the sector of a generation, and an offset in it. Later places are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    generation: u32,
    offset: u32,
}

/// A record that was written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    place: Place,
    pub(super) boot: u64,
    pub(super) sequence: u64,
    pub(super) newest_ms: u64,
    pub(super) len: usize,
    /// Just behind it.
    pub(super) next: Place,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    sector_len: u32,
    sectors: u32,
    /// Reads and writes are multiples of it.
    unit: u32,
    /// Where the done mark lies in a sector, and where its records begin.
    done_at: u32,
    records_at: u32,
}

impl Geometry {
    /// `None`: this flash cannot be used.
    fn of<F: NorFlash>(flash: &F) -> Option<Self> {
        let unit = F::READ_SIZE.max(F::WRITE_SIZE);
        if !unit.is_power_of_two()
            || unit > STAGE_LEN
            || F::ERASE_SIZE == 0
            || !F::ERASE_SIZE.is_multiple_of(unit)
        {
            return None;
        }
        let done_at = SECTOR_HEAD_LEN.next_multiple_of(unit);
        let records_at = done_at + DONE_LEN_MIN.next_multiple_of(unit);
        let sectors = u32::try_from(flash.capacity() / F::ERASE_SIZE).ok()?;
        if sectors < SECTORS_MIN || records_at + RECORD_HEAD_LEN > F::ERASE_SIZE {
            return None;
        }
        Some(Self {
            sector_len: u32::try_from(F::ERASE_SIZE).ok()?,
            sectors,
            unit: u32::try_from(unit).ok()?,
            done_at: u32::try_from(done_at).ok()?,
            records_at: u32::try_from(records_at).ok()?,
        })
    }

    /// Bytes of the record of a message with its padding.
    fn record_len(&self, message_len: usize) -> Option<u32> {
        u32::try_from(RECORD_HEAD_LEN + message_len).ok()?.checked_next_multiple_of(self.unit)
    }

    /// Where the records of a generation begin.
    fn start_of(&self, generation: u32) -> Place {
        Place { generation, offset: self.records_at }
    }
}

#[derive(Debug)]
pub(super) struct Log<F> {
    flash: F,
    geometry: Option<Geometry>,
    /// The sector opened last, and its generation; 0 when none ever was.
    tail: u32,
    generation: u32,
    /// Where the next record goes in the tail; `None`: open another sector.
    write_at: Option<u32>,
    /// The oldest record is here or behind it.
    head: Place,
    /// Records that are held.
    held: u64,
    /// Records that were held and cannot be read any more.
    unreadable: u64,
    /// Operations that the flash refused.
    faults: u32,
}

impl<F: NorFlash> Log<F> {
    /// Reads what is there. A flash that is too small or too coarse is not used.
    pub(super) fn mount(flash: F) -> Self {
        let geometry = Geometry::of(&flash);
        let head = Place { generation: 0, offset: 0 };
        let (generation, held, unreadable, faults) = (0, 0, 0, 0);
        let mut log =
            Self { flash, geometry, tail: 0, generation, write_at: None, head, held, unreadable, faults };
        let Some(geometry) = geometry else { return log };
        for sector in 0..geometry.sectors {
            if let Some(found) = log.sector_head(&geometry, sector)
                && found.generation > log.generation
            {
                (log.tail, log.generation) = (sector, found.generation);
            }
        }
        let mut at = log.head;
        while let Some(record) = log.record_at(at) {
            if log.held == 0 {
                log.head = record.place;
            }
            log.held += 1;
            at = record.next;
        }
        log
    }

    /// Bytes of the longest message that a sector takes.
    pub(super) fn message_len_max(&self) -> Option<usize> {
        let geometry = self.geometry?;
        usize::try_from(geometry.sector_len - geometry.records_at).ok()?.checked_sub(RECORD_HEAD_LEN)
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn faults(&self) -> u32 {
        self.faults
    }

    /// Records that were held and cannot be read any more.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The oldest record is here or behind it.
    pub(super) fn head(&self) -> Place {
        self.head
    }

    /// The oldest record.
    pub(super) fn first(&mut self) -> Option<Record> {
        if self.held == 0 {
            return None;
        }
        let first = self.record_at(self.head);
        if first.is_none() {
            // The flash lost what it held, for a power cut cannot.
            self.unreadable += self.held;
            (self.held, self.write_at) = (0, None);
        }
        first
    }

    /// The first record at this place or behind it.
    pub(super) fn record_at(&mut self, place: Place) -> Option<Record> {
        let geometry = self.geometry?;
        // Older generations have been overwritten.
        let oldest = self.generation.saturating_sub(geometry.sectors - 1).max(1);
        let mut place = place.max(geometry.start_of(oldest));
        while place.generation <= self.generation {
            if let Some(record) = self.record_in_sector(&geometry, place) {
                return Some(record);
            }
            place = geometry.start_of(place.generation.checked_add(1)?);
        }
        None
    }

    /// The sector of a generation that has not been overwritten.
    fn sector_of(&self, geometry: &Geometry, generation: u32) -> u32 {
        let back = (self.generation - generation) % geometry.sectors;
        (self.tail + geometry.sectors - back) % geometry.sectors
    }

    /// The record at this place, if its sector is what it should be, is not done, and the record was written whole.
    fn record_in_sector(&mut self, geometry: &Geometry, place: Place) -> Option<Record> {
        let at = self.sector_of(geometry, place.generation);
        let sector = self.sector_head(geometry, at)?;
        if sector.generation != place.generation || self.is_done(geometry, at) {
            return None;
        }
        let mut bytes = [0; RECORD_HEAD_LEN];
        let message_at = place.offset.checked_add(u32::try_from(RECORD_HEAD_LEN).ok()?)?;
        if message_at > geometry.sector_len {
            return None;
        }
        self.read(geometry, (at, place.offset), &mut bytes)?;
        let head = RecordHead::from_bytes(&bytes)?;
        let end = message_at.checked_add(u32::from(head.len))?;
        if end > geometry.sector_len {
            return None;
        }
        let mut check = head.begin_check(sector.generation);
        self.stage(geometry, (at, place.offset), RECORD_HEAD_LEN, usize::from(head.len), |piece| {
            check = check.over(piece);
        })?;
        (check.end() == head.check).then_some(Record {
            place,
            boot: sector.boot,
            sequence: head.sequence,
            newest_ms: head.newest_ms,
            len: usize::from(head.len),
            next: Place { offset: end.next_multiple_of(geometry.unit), ..place },
        })
    }

    /// Copies a record's message into `out`, which has room for it.
    pub(super) fn load(&mut self, record: &Record, out: &mut [u8]) -> Option<()> {
        let geometry = self.geometry?;
        let mut rest = out.get_mut(..record.len)?;
        let at = (self.sector_of(&geometry, record.place.generation), record.place.offset);
        self.stage(&geometry, at, RECORD_HEAD_LEN, record.len, |piece| {
            let (to, behind) = core::mem::take(&mut rest).split_at_mut(piece.len());
            copy(to, piece);
            rest = behind;
        })
    }

    /// Appends a message. Records that have to go for it are handed to `dropped`. `None`: the flash failed, or there is
    /// none.
    pub(super) fn append(
        &mut self,
        boot: u64,
        head: (u64, u64),
        message: [&[u8]; 2],
        mut dropped: impl FnMut(&Record),
    ) -> Option<()> {
        let geometry = self.geometry?;
        let [start, rest] = message;
        let message_len = start.len() + rest.len();
        if RECORD_HEAD_LEN + message_len > usize::try_from(geometry.sector_len - geometry.records_at).ok()? {
            return None;
        }
        let len = geometry.record_len(message_len)?;
        for _ in 0..OPEN_TRIES {
            let offset = match self.room(&geometry, len) {
                Some(offset) => offset,
                None => match self.open(&geometry, boot, &mut dropped) {
                    Some(offset) => offset,
                    None => continue,
                },
            };
            // Taken before the write: what failed half is never written to again.
            self.write_at = None;
            let mut record = RecordHead {
                len: u16::try_from(message_len).ok()?,
                sequence: head.0,
                newest_ms: head.1,
                check: 0,
            };
            record.check = record.begin_check(self.generation).over(start).over(rest).end();
            if self.write(&geometry, (self.tail, offset), [&record.to_bytes(), start, rest]).is_some() {
                self.write_at = Some(offset + len);
                self.held += 1;
                return Some(());
            }
        }
        None
    }

    /// Whether the sector that is written to takes a message of this length; else another one is erased for it.
    pub(super) fn fits(&self, message_len: usize) -> bool {
        let Some(geometry) = self.geometry else { return false };
        geometry.record_len(message_len).is_some_and(|len| self.room(&geometry, len).is_some())
    }

    /// Where the sector that is written to takes a record of this length, if it does.
    fn room(&self, geometry: &Geometry, len: u32) -> Option<u32> {
        self.write_at.filter(|at| at.saturating_add(len) <= geometry.sector_len)
    }

    /// Opens the sector after the tail; where its records begin.
    fn open(&mut self, geometry: &Geometry, boot: u64, dropped: &mut impl FnMut(&Record)) -> Option<u32> {
        let next = if self.generation == 0 { 0 } else { (self.tail + 1) % geometry.sectors };
        let generation = self.generation.checked_add(1)?;
        // The generation that lies there now goes.
        let overwritten = generation.saturating_sub(geometry.sectors);
        while let Some(record) = self.first().filter(|record| record.place.generation <= overwritten) {
            dropped(&record);
            self.held -= 1;
            self.head = record.next;
        }
        (self.tail, self.generation, self.write_at) = (next, generation, None);
        let from = next * geometry.sector_len;
        let erased = self.flash.erase(from, from + geometry.sector_len);
        self.noted(erased)?;
        let head = SectorHead { generation, boot }.to_bytes();
        self.write(geometry, (next, 0), [&head, &[], &[]])?;
        Some(geometry.records_at)
    }

    /// Forgets the oldest record, which is acknowledged, and marks its sector when that was its last.
    pub(super) fn release(&mut self, oldest: &Record) {
        let Some(geometry) = self.geometry else { return };
        self.head = oldest.next;
        self.held = self.held.saturating_sub(1);
        let generation = oldest.place.generation;
        if self.first().is_some_and(|next| next.place.generation == generation) {
            return;
        }
        if generation == self.generation {
            // A sector that is done is not appended to.
            self.write_at = None;
        }
        // Without the mark the batches are sent again after a restart, and dropped by the server.
        let _ = self.mark_done(&geometry, self.sector_of(&geometry, generation));
    }

    /// Writes the done mark, unless a power cut tore it before: no word is written twice.
    fn mark_done(&mut self, geometry: &Geometry, sector: u32) -> Option<()> {
        let mut mark = [0; STAGE_LEN];
        let mark = mark.get_mut(..usize::try_from(geometry.records_at - geometry.done_at).ok()?)?;
        let at = (sector, geometry.done_at);
        self.read(geometry, at, mark)?;
        if mark.iter().any(|byte| *byte != ERASED) {
            return None;
        }
        mark.fill(0);
        self.write(geometry, at, [mark, &[], &[]])
    }

    fn sector_head(&mut self, geometry: &Geometry, sector: u32) -> Option<SectorHead> {
        let mut bytes = [0; SECTOR_HEAD_LEN];
        self.read(geometry, (sector, 0), &mut bytes)?;
        SectorHead::from_bytes(&bytes)
    }

    fn is_done(&mut self, geometry: &Geometry, sector: u32) -> bool {
        let mut mark = [ERASED; DONE_LEN_MIN];
        let read = self.read(geometry, (sector, geometry.done_at), &mut mark);
        read.is_some() && mark == [0; DONE_LEN_MIN]
    }

    fn read(&mut self, geometry: &Geometry, at: (u32, u32), out: &mut [u8]) -> Option<()> {
        let len = out.len();
        let mut rest = out;
        self.stage(geometry, at, 0, len, |piece| {
            let (to, behind) = core::mem::take(&mut rest).split_at_mut(piece.len());
            copy(to, piece);
            rest = behind;
        })
    }

    /// Hands `len` bytes, `skip` bytes behind the offset in the sector, to `take`, piece by piece. The offset is a multiple
    /// of the unit.
    fn stage(
        &mut self,
        geometry: &Geometry,
        (sector, offset): (u32, u32),
        skip: usize,
        len: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Option<()> {
        let unit = usize::try_from(geometry.unit).ok()?;
        let mut stage = [0; STAGE_LEN];
        // From the unit that holds the first byte wanted.
        let start = skip / unit * unit;
        let mut at = start;
        while at < skip + len {
            let want = (skip + len - at).next_multiple_of(unit).min(STAGE_LEN);
            let piece = stage.get_mut(..want)?;
            let from = sector * geometry.sector_len + offset + u32::try_from(at).ok()?;
            let read = self.flash.read(from, piece);
            self.noted(read)?;
            take(piece.get(skip.saturating_sub(at)..want.min(skip + len - at))?);
            at += want;
        }
        Some(())
    }

    /// Writes the parts one after the other at the offset in the sector, padded to the unit with what erased flash holds.
    fn write(&mut self, geometry: &Geometry, (sector, offset): (u32, u32), parts: [&[u8]; 3]) -> Option<()> {
        let unit = usize::try_from(geometry.unit).ok()?;
        let mut to = sector * geometry.sector_len + offset;
        let (mut stage, mut filled) = ([ERASED; STAGE_LEN], 0);
        let mut bytes = parts.into_iter().flatten().peekable();
        while let Some(byte) = bytes.next() {
            if let Some(slot) = stage.get_mut(filled) {
                *slot = *byte;
            }
            filled += 1;
            if filled == STAGE_LEN || bytes.peek().is_none() {
                let piece = stage.get(..filled.next_multiple_of(unit))?;
                let written = self.flash.write(to, piece);
                self.noted(written)?;
                to += u32::try_from(filled).ok()?;
                (stage, filled) = ([ERASED; STAGE_LEN], 0);
            }
        }
        Some(())
    }

    fn noted(&mut self, result: Result<(), F::Error>) -> Option<()> {
        self.faults = self.faults.saturating_add(u32::from(result.is_err()));
        result.ok()
    }

    pub(super) fn into_flash(self) -> F {
        self.flash
    }
}
