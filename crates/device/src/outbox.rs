//! Batches that were not acknowledged yet: the newest in memory, the older in flash, each with its sequence, none in twice.
//!
//! A batch goes to memory first, so that flash is not worn while the link works. When memory is full, its oldest batch
//! moves to flash; when flash is full, its oldest sector goes, and with it the oldest batches: counted, and told to the
//! server. After a restart what lies in flash is delivered first, boot by boot, under the boot that measured it. It never
//! forgets a batch for another reason than an acknowledgement, want of room, or three refusals of the server, and never gives
//! them out of order.
//!
//! Why not the crate `sequential-storage`: its queue drops the oldest page without telling what was in it, needs a flash
//! whose words may be written twice to take one item off, and is asynchronous. This log writes each word once, and one
//! mark a sector for acknowledgements.

mod layout;
mod log;
mod no_flash;
mod refusals;
mod ring;

use embedded_storage::nor_flash::NorFlash;
use log::{Log, Place, Record};
pub use no_flash::NoFlash;
use refusals::Refusals;
pub use refusals::{GivenUp, REFUSALS_MAX};
use ring::Ring;
use vitalwire_protocol::batch::MESSAGE_LEN_MAX;

/// Bytes that `oldest` may add to a batch when it is sent, at most (PROTOCOL.md §4.1). A buffer for a batch to be sent has
/// room for [`Outbox::message_len_max`] and these.
pub const OLDEST_LEN_MAX: usize = 1 + 9;

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OutboxError {
    #[error(
        "batch of {len} bytes is longer than the outbox takes, {max}: make batches shorter or memory larger"
    )]
    TooLong { len: usize, max: usize },
    #[error(
        "buffer of {available} bytes cannot take a batch of {len}: pass one of message_len_max and OLDEST_LEN_MAX"
    )]
    BufferTooSmall { len: usize, available: usize },
}

/// Whose batches are delivered now: what a `Hello` says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The boot that measured them.
    pub boot: u64,
    /// The oldest batch held of it, or the next to come: nothing below it is held any more.
    pub oldest: u64,
    /// For a boot that is over: the newest time kept of it, in milliseconds of its clock.
    pub past_newest_ms: Option<u64>,
}

/// Batches until they are acknowledged. `R` is the memory, of any size; `F` the flash, [`NoFlash`] if there is none.
#[derive(Debug)]
pub struct Outbox<R, F> {
    ring: Ring<R>,
    log: Log<F>,
    boot: u64,
    next_sequence: u64,
    dropped: u64,
    delivered: Delivered,
    refusals: Refusals,
}

/// How far the present connection is.
#[derive(Debug)]
struct Delivered {
    boot: u64,
    /// Sequence of the next batch to be given out; those below it that are held are in flight.
    next: u64,
    in_flight_len: u64,
    /// Everything in flash before it was given out.
    place: Place,
}

impl Delivered {
    /// A batch is no longer held.
    fn gone(&mut self, boot: u64, sequence: u64, len: usize) {
        if boot == self.boot && sequence < self.next {
            self.in_flight_len = self.in_flight_len.saturating_sub(len as u64);
        }
    }
}

impl<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash> Outbox<R, F> {
    /// Finds what earlier boots left in `flash`, and is ready for batches of this one. `boot` is drawn at random at each
    /// start of the device.
    pub fn mount(boot: u64, memory: R, flash: F) -> Self {
        let log = Log::mount(flash);
        let place = log.head();
        let delivered = Delivered { boot, next: 1, in_flight_len: 0, place };
        let (ring, refusals) = (Ring::new(memory, 1), Refusals::default());
        let mut outbox = Self { ring, log, boot, next_sequence: 1, dropped: 0, delivered, refusals };
        outbox.begin_delivery();
        outbox
    }

    /// The boot whose batches are taken in.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Sequence of the batch that is taken in next.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Bytes of the longest batch it takes.
    #[must_use]
    pub fn message_len_max(&self) -> usize {
        let ring = self.ring.message_len_max();
        let both = self.log.message_len_max().map_or(ring, |log| log.min(ring));
        both.min(MESSAGE_LEN_MAX - OLDEST_LEN_MAX)
    }

    /// Batches held, of all boots.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.log.held() + self.ring.count()
    }

    /// Batches held in flash.
    #[must_use]
    pub fn held_in_flash(&self) -> u64 {
        self.log.held()
    }

    /// Batches dropped since the start for want of room, of all boots. Some may have reached the server.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped + self.log.unreadable()
    }

    /// Operations that the flash refused since the start.
    #[must_use]
    pub fn flash_faults(&self) -> u32 {
        self.log.faults()
    }

    /// Takes in the batch with the sequence [`Self::next_sequence`], encoded, whose newest value was measured at
    /// `newest_ms`. Returns how many older ones had to go for it.
    ///
    /// # Errors
    /// The batch is longer than [`Self::message_len_max`].
    pub fn push(&mut self, newest_ms: u64, message: &[u8]) -> Result<u64, OutboxError> {
        let (len, max) = (message.len(), self.message_len_max());
        if len > max {
            return Err(OutboxError::TooLong { len, max });
        }
        let dropped = self.dropped;
        while !self.ring.fits(len) {
            self.spill();
        }
        self.ring.push(newest_ms, message);
        self.next_sequence += 1;
        Ok(self.dropped - dropped)
    }

    /// Moves all batches to flash, as before the power is switched off. Without flash they stay.
    pub fn save(&mut self) {
        while self.oldest_for_flash().is_some() {
            self.spill();
        }
    }

    /// Moves batches to flash until all are there, or a second sector would have to be erased. Erasing keeps the processor for longer
    /// than from one value to the next: called after each batch, this keeps up, and no erasure follows another at once.
    pub fn save_some(&mut self) {
        let mut may_erase = true;
        while let Some(oldest) = self.oldest_for_flash() {
            if !self.log.fits(oldest.len) && !core::mem::take(&mut may_erase) {
                return;
            }
            self.spill();
        }
    }

    /// The oldest batch in memory, if there is flash that it can go to.
    fn oldest_for_flash(&self) -> Option<ring::Entry> {
        self.ring.front().filter(|_| self.log.message_len_max().is_some())
    }

    /// Moves the oldest batch in memory to flash; without room or flash it is dropped.
    fn spill(&mut self) {
        let Some(front) = self.ring.front() else { return };
        let (boot, delivered, dropped) = (self.boot, &mut self.delivered, &mut self.dropped);
        let head = (front.sequence, front.newest_ms);
        let appended = self.log.append(boot, head, self.ring.front_pieces(), |record| {
            *dropped += 1;
            delivered.gone(record.boot, record.sequence, record.len);
        });
        self.ring.pop_front();
        if appended.is_none() {
            self.dropped += 1;
            self.delivered.gone(boot, front.sequence, front.len);
        }
    }

    /// Begins a delivery again, as at each connection: nothing is in flight. The oldest boot comes first.
    pub fn begin_delivery(&mut self) -> Delivery {
        let (first, place) = (self.log.first(), self.log.head());
        let (boot, oldest) = match first {
            Some(record) => (record.boot, record.sequence),
            None => (self.boot, self.ring.first()),
        };
        self.delivered = Delivered { boot, next: oldest, in_flight_len: 0, place };
        self.refusals.deliver(boot);
        let past_newest_ms = if boot == self.boot { None } else { self.newest_ms_of(first) };
        Delivery { boot, oldest, past_newest_ms }
    }

    fn newest_ms_of(&mut self, first: Option<Record>) -> Option<u64> {
        let boot = first?.boot;
        let (mut record, mut newest_ms) = (first, None);
        while let Some(found) = record.filter(|record| record.boot == boot) {
            newest_ms = newest_ms.max(Some(found.newest_ms));
            record = self.log.record_at(found.next);
        }
        newest_ms
    }

    /// The boot whose batches are delivered over the present connection.
    #[must_use]
    pub fn delivered_boot(&self) -> u64 {
        self.delivered.boot
    }

    /// The oldest batch held of the boot that is delivered, or the next to come; `None` if that boot is over and all of
    /// it is gone: close, and connect again for the next.
    pub fn oldest(&mut self) -> Option<u64> {
        let first = self.log.first();
        let is_present = self.delivered.boot == self.boot;
        match first.filter(|record| record.boot == self.delivered.boot) {
            Some(record) => Some(record.sequence),
            None => is_present.then(|| self.ring.first()),
        }
    }

    /// The oldest batch held of the present boot, or the next to come.
    pub fn oldest_of_present_boot(&mut self) -> u64 {
        let mut record = self.log.first();
        while let Some(found) = record {
            if found.boot == self.boot {
                return found.sequence;
            }
            record = self.log.record_at(found.next);
        }
        self.ring.first()
    }

    /// Bytes of batches that were given out, and are neither acknowledged nor dropped.
    #[must_use]
    pub fn in_flight_len(&self) -> u64 {
        self.delivered.in_flight_len
    }

    /// Sequence of the next batch to be given out.
    #[must_use]
    pub fn next_to_send(&self) -> u64 {
        self.delivered.next
    }

    /// Bytes of the batch that is given out next; `None`: there is none now.
    pub fn next_len(&mut self) -> Option<usize> {
        if let Some(record) = self.next_in_log() {
            return Some(record.len);
        }
        self.next_in_ring().and_then(|sequence| self.ring.find(sequence)).map(|entry| entry.len)
    }

    /// Gives out the next batch of the boot that is delivered: copies it into `out` and returns its sequence and length.
    ///
    /// # Errors
    /// `out` is too small for it.
    pub fn take_next(&mut self, out: &mut [u8]) -> Result<Option<(u64, usize)>, OutboxError> {
        let available = out.len();
        let (sequence, len, place) = if let Some(record) = self.next_in_log() {
            let loaded = self.log.load(&record, out);
            loaded.ok_or(OutboxError::BufferTooSmall { len: record.len, available })?;
            (record.sequence, record.len, record.next)
        } else {
            let Some(sequence) = self.next_in_ring() else { return Ok(None) };
            let Some(entry) = self.ring.find(sequence) else { return Ok(None) };
            let read = self.ring.read(sequence, out);
            read.ok_or(OutboxError::BufferTooSmall { len: entry.len, available })?;
            (sequence, entry.len, self.delivered.place)
        };
        self.delivered.place = place;
        self.delivered.next = sequence + 1;
        self.delivered.in_flight_len += len as u64;
        Ok(Some((sequence, len)))
    }

    /// The next record to be given out from flash. What was given out from memory and moved since is passed over.
    fn next_in_log(&mut self) -> Option<Record> {
        if self.log.held() == 0 {
            return None;
        }
        self.delivered.place = self.delivered.place.max(self.log.head());
        loop {
            let record = self.log.record_at(self.delivered.place)?;
            if record.boot != self.delivered.boot {
                return None;
            }
            if record.sequence >= self.delivered.next && !self.refusals.is_given_up(record.sequence) {
                return Some(record);
            }
            self.delivered.place = record.next;
        }
    }

    /// The sequence to be given out from memory, if it is its turn.
    fn next_in_ring(&self) -> Option<u64> {
        if self.delivered.boot != self.boot {
            return None;
        }
        let next = self.delivered.next.max(self.ring.first());
        // As many at most as are remembered.
        (next..).find(|sequence| !self.refusals.is_given_up(*sequence))
    }

    /// The server holds every batch of the delivered boot up to `sequence`: they are forgotten. Returns how many.
    pub fn acknowledge(&mut self, sequence: u64) -> u64 {
        let mut forgotten = 0;
        while let Some(record) = self.log.first()
            && record.boot == self.delivered.boot
            && record.sequence <= sequence
        {
            self.delivered.gone(record.boot, record.sequence, record.len);
            self.log.release(&record);
            forgotten += 1;
        }
        let next = sequence.saturating_add(1);
        if self.delivered.boot != self.boot {
            self.delivered.next = self.delivered.next.max(next);
            self.drop_given_up();
            return forgotten;
        }
        while self.ring.front().is_some_and(|front| front.sequence <= sequence)
            && let Some(front) = self.ring.pop_front()
        {
            self.delivered.gone(self.boot, front.sequence, front.len);
            forgotten += 1;
        }
        self.delivered.next = self.delivered.next.max(next.min(self.next_sequence));
        self.drop_given_up();
        forgotten
    }

    /// The server refused a batch: the first that was given out with this number or a higher one. After the third refusal it
    /// is given up, and true is returned: it is sent no more, and gone as soon as nothing older is held.
    pub fn refuse(&mut self, sequence: u64, code: u16) -> bool {
        let refused = self.first_in_flight(sequence);
        let is_given_up = refused.is_some_and(|sequence| self.refusals.count(sequence, code));
        self.drop_given_up();
        is_given_up
    }

    /// The oldest batch in flight with this number or a higher one.
    fn first_in_flight(&mut self, sequence: u64) -> Option<u64> {
        let Delivered { boot, next, .. } = self.delivered;
        let is_meant = |number: u64| number >= sequence && number < next;
        let mut record = self.log.first();
        while let Some(found) = record.filter(|found| found.boot == boot) {
            if is_meant(found.sequence) && !self.refusals.is_given_up(found.sequence) {
                return Some(found.sequence);
            }
            record = self.log.record_at(found.next);
        }
        if boot != self.boot {
            return None;
        }
        let mut in_ring = sequence.max(self.ring.first())..next.min(self.next_sequence);
        in_ring.find(|number| !self.refusals.is_given_up(*number))
    }

    /// Forgets what was given up, as far as nothing older is held.
    fn drop_given_up(&mut self) {
        let boot = self.delivered.boot;
        while let Some(record) = self.log.first()
            && record.boot == boot
            && self.refusals.is_given_up(record.sequence)
        {
            self.delivered.gone(boot, record.sequence, record.len);
            self.log.release(&record);
        }
        while boot == self.boot
            && self.log.first().is_none_or(|record| record.boot != boot)
            && self.ring.front().is_some_and(|front| self.refusals.is_given_up(front.sequence))
            && let Some(front) = self.ring.pop_front()
        {
            self.delivered.gone(boot, front.sequence, front.len);
        }
        if let Some(oldest) = self.oldest() {
            self.refusals.forget_below(oldest);
        }
    }

    /// Batches given up since the start because the server refused them, of all boots.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.refusals.given_up()
    }

    /// Takes the oldest batch that was given up and of which no event has told yet.
    pub fn take_given_up(&mut self) -> Option<GivenUp> {
        self.refusals.take_untold()
    }

    /// Takes the flash out again; what is in memory only is gone.
    pub fn into_flash(self) -> F {
        self.log.into_flash()
    }
}

/// Copies as much as both have room for.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
