//! What recorder and collector share: the outbox, the latest sample, events, what the server wants, and signs of life. Each
//! access is short; no one holds anything while waiting.

use core::cell::{Cell, RefCell};
use core::future::Future;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::signal::Signal;
use embedded_storage::nor_flash::NorFlash;
use heapless::Deque;
use vitalwire_protocol::Channel;
use vitalwire_protocol::batch::{Event, TIME_MS_MAX};

use crate::batcher::Settings;
use crate::outbox::Outbox;

/// A recorder that gave no sign of life for so long is dead, in milliseconds. Erasing flash stops it for 0.4 s at most
/// (W25Q16JV datasheet §9.6), several times in a row when the outbox is full.
pub const RECORDER_SILENT_MS_MAX: u64 = 5_000;
/// The same for the collector: longer than anything for which it waits without a sign, of which a handshake is the longest.
pub const COLLECTOR_SILENT_MS_MAX: u64 = 60_000;

/// The recorder puts its last batch into the outbox within so long, in milliseconds, unless the flash is being erased for it.
pub const FINISH_MS_MAX: u64 = 1_000;

/// When no one takes the batches for so long, in milliseconds, each goes to flash as it is made: what is in memory a dead battery
/// takes along. A shorter outage wears no flash and, at high rates, costs no value for an erasure.
pub const AWAY_MS_MIN: u64 = 30_000;

/// Events that wait for a connection. When there are more, the oldest goes: the newest say how it is.
const EVENTS_MAX: usize = 16;

/// All channels at one moment, for a frame.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Thousandths, in the order of [`Channel::ALL`]; `None`: the sensor has nothing.
    pub milli: [Option<i32>; Channel::ALL.len()],
}

/// Something happened that is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceEvent {
    /// Its code (PROTOCOL.md §4.1).
    pub code: u16,
    /// For people: at most 128 bytes, no control characters, never a patient's value.
    pub text: &'static str,
    /// When, in milliseconds of the clock.
    pub time_ms: u64,
}

impl DeviceEvent {
    /// As the server is told.
    #[must_use]
    pub fn event(&self) -> Event<'static> {
        Event { code: self.code, text: self.text, time_ms: self.time_ms.min(TIME_MS_MAX) }
    }
}

/// What recorder and collector share.
pub struct Shared<M: RawMutex, R, F> {
    outbox: Mutex<M, RefCell<Outbox<R, F>>>,
    events: Mutex<M, RefCell<Deque<DeviceEvent, EVENTS_MAX>>>,
    /// The latest sample; one that was not taken is replaced.
    sample: Signal<M, Sample>,
    /// What the server wants, until the recorder takes it; several messages become one.
    settings: Mutex<M, Cell<Option<Settings>>>,
    configured: Signal<M, ()>,
    /// The recorder is asked to finish, and has finished.
    finish: Mutex<M, Cell<bool>>,
    finished: Signal<M, ()>,
    /// There may be more to send.
    more: Signal<M, ()>,
    counts: Mutex<M, Cell<Counts>>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    started_ms: u64,
    /// Microseconds, as the recorder has no time for a division.
    recorder_us: u64,
    collector_ms: u64,
    /// Since when no one takes batches; `None` while the server does.
    away_since_ms: Option<u64>,
    missed: u64,
}

impl<M: RawMutex, R, F> core::fmt::Debug for Shared<M, R, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Shared(..)")
    }
}

impl<M: RawMutex, R, F> Shared<M, R, F> {
    /// Around a mounted outbox. `now_ms` is what the clock shows as the device starts.
    #[must_use]
    pub fn new(outbox: Outbox<R, F>, now_ms: u64) -> Self {
        let recorder_us = now_ms.saturating_mul(1_000);
        let counts = Counts {
            started_ms: now_ms,
            recorder_us,
            collector_ms: now_ms,
            away_since_ms: Some(now_ms),
            missed: 0,
        };
        Self {
            outbox: Mutex::new(RefCell::new(outbox)),
            events: Mutex::new(RefCell::new(Deque::new())),
            sample: Signal::new(),
            settings: Mutex::new(Cell::new(None)),
            configured: Signal::new(),
            finish: Mutex::new(Cell::new(false)),
            finished: Signal::new(),
            more: Signal::new(),
            counts: Mutex::new(Cell::new(counts)),
        }
    }

    /// What the clock showed when the device started, in milliseconds.
    pub fn started_ms(&self) -> u64 {
        self.counts.lock(Cell::get).started_ms
    }

    /// Values that were due and not measured since the start.
    pub fn missed_values(&self) -> u64 {
        self.counts.lock(Cell::get).missed
    }

    /// Whether recorder and collector both gave a sign of life lately. When not, the watchdog may bite.
    pub fn is_alive(&self, now_ms: u64) -> bool {
        let counts = self.counts.lock(Cell::get);
        now_ms.saturating_mul(1_000).saturating_sub(counts.recorder_us) <= RECORDER_SILENT_MS_MAX * 1_000
            && now_ms.saturating_sub(counts.collector_ms) <= COLLECTOR_SILENT_MS_MAX
    }

    pub(super) fn recorder_lives(&self, now_us: u64) {
        self.count(|counts| counts.recorder_us = now_us);
    }

    pub(crate) fn collector_lives(&self, now_ms: u64) {
        self.count(|counts| counts.collector_ms = now_ms);
    }

    /// The server takes batches from now on, or, with the time in milliseconds, does so no more.
    pub(crate) fn away_since(&self, now_ms: Option<u64>) {
        self.count(|counts| counts.away_since_ms = now_ms.map(|ms| counts.away_since_ms.unwrap_or(ms)));
    }

    fn is_away(&self, now_ms: u64) -> bool {
        let since_ms = self.counts.lock(Cell::get).away_since_ms;
        since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= AWAY_MS_MIN)
    }

    pub(super) fn missed(&self, values: u64) {
        if values > 0 {
            self.count(|counts| counts.missed += values);
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.lock(|cell| {
            let mut counts = cell.get();
            change(&mut counts);
            cell.set(counts);
        });
    }

    /// The server wants to measure so from now on.
    pub fn configure(&self, settings: Settings) {
        self.settings.lock(|cell| {
            cell.set(Some(cell.get().map_or(settings, |waiting| waiting.then(settings))));
        });
        self.configured.signal(());
    }

    pub(super) fn configured(&self) -> impl Future<Output = ()> + '_ {
        self.configured.wait()
    }

    pub(super) fn take_settings(&self) -> Option<Settings> {
        self.settings.lock(Cell::take)
    }

    /// Ends measuring before a restart that is meant: ready when the batch under way is in the outbox, which can be saved then. A
    /// recorder that hangs must not keep the device from its restart: wait no longer than [`FINISH_MS_MAX`].
    pub async fn finish(&self) {
        self.finish.lock(|finish| finish.set(true));
        self.configured.signal(());
        self.finished.wait().await;
    }

    pub(super) fn must_finish(&self) -> bool {
        self.finish.lock(Cell::get)
    }

    pub(super) fn finished(&self) {
        self.finished.signal(());
    }

    pub(super) fn show(&self, sample: Sample) {
        self.sample.signal(sample);
    }

    /// The next sample; one that no one waited for is gone when the next comes.
    pub fn sample(&self) -> impl Future<Output = Sample> + '_ {
        self.sample.wait()
    }

    /// Forgets a sample that no one took.
    pub(crate) fn forget_sample(&self) {
        self.sample.reset();
    }

    /// The server is to be told, when there is a connection. Of more than sixteen events that wait the oldest goes.
    pub fn tell(&self, event: DeviceEvent) {
        self.events.lock(|events| {
            let mut events = events.borrow_mut();
            if events.is_full() {
                events.pop_front();
            }
            // There is room now.
            let _ = events.push_back(event);
        });
        self.more.signal(());
    }

    /// Takes the oldest event that no one was told of yet.
    pub(crate) fn take_event(&self) -> Option<DeviceEvent> {
        self.events.lock(|events| events.borrow_mut().pop_front())
    }

    pub(crate) fn wake(&self) {
        self.more.signal(());
    }

    /// Ready when there may be more to send.
    pub(crate) fn more(&self) -> impl Future<Output = ()> + '_ {
        self.more.wait()
    }
}

impl<M: RawMutex, R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash> Shared<M, R, F> {
    /// Works with the outbox. No one else can meanwhile, and in the firmware nothing else runs: be short.
    pub fn with_outbox<T>(&self, work: impl FnOnce(&mut Outbox<R, F>) -> T) -> T {
        self.outbox.lock(|outbox| work(&mut outbox.borrow_mut()))
    }

    /// Moves all batches to flash, as before a restart that is meant.
    pub fn save(&self) {
        self.with_outbox(Outbox::save);
    }

    pub(super) fn message_len_max(&self) -> usize {
        self.with_outbox(|outbox| outbox.message_len_max())
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.with_outbox(|outbox| outbox.next_sequence())
    }

    /// Keeps a batch with the sequence that [`Self::next_sequence`] gave; in flash when no one has taken any for long, a sector at a
    /// time. That is done here, right behind a value, for erasing a sector takes about as long as from one value to the next.
    pub(super) fn keep(&self, newest_ms: u64, message: &[u8]) {
        let is_away = self.is_away(newest_ms);
        self.with_outbox(|outbox| {
            // The recorder keeps to the outbox's limit, so that nothing is refused.
            let _ = outbox.push(newest_ms, message);
            if is_away {
                outbox.save_some();
            }
        });
        self.more.signal(());
    }
}
