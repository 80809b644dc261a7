//! The feed: what happens, told at once to everyone in this process who reads along. The publisher reads it; alarms,
//! dashboards and exports attach in the same way, by [`Feed::subscribe`].
//!
//! Each reader has a queue of its own, so that none waits for another and nothing is copied but a pointer. A queue is bounded in
//! bytes: when it is full its oldest items go, which is counted by the reader's name; of the surveillance's queue, which must
//! know who is connected, readings go first. Only the publisher of the embedded broker holds back who tells
//! (see [`WhenFull`]). Items come in the order in which they were told, which is each device's own. The feed keeps nothing: what came
//! before a reader subscribed is in the journal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use vitalwire_access::DeviceId;

use crate::alarms::{AlarmChange, AlarmList, WardSummary};
use crate::event::{Event, Status};
use crate::metrics::Metrics;
use crate::reading::Reading;
use crate::ticket::Share;

/// Bytes that wait for a reader of the feed. At it, the oldest items go.
const READER_BYTES_MAX: usize = 16 << 20;
/// Bytes of what came late that wait for the surveillance. At it, the oldest go, and are marked on no timeline.
const LATE_BYTES_MAX: usize = 4 << 20;
/// Bytes of what devices and the server did that readings do not push out of the surveillance's queue: tens of thousands.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// A device measured something.
    Reading(Arc<Reading>),
    /// A device came or went.
    Status(Arc<Status>),
    /// Something that someone may want to look after.
    Event(Arc<Event>),
    /// The open alarms of a patient, all of them: they are other ones now.
    Alarms(Arc<AlarmList>),
    /// How many alarms are open in all; once a second at most.
    Ward(Arc<WardSummary>),
    /// An alarm that no one acknowledged for too long: others are to be told.
    Escalation(Arc<AlarmChange>),
    /// A heart beat. Only who draws waves is told, see [`Feed::subscribe_to_draw`].
    Beats(Arc<Beats>),
}

/// Beats in the wave of a device, as the surveillance finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beats {
    /// Whose.
    pub device: DeviceId,
    /// When, in the order of time: UTC, microseconds since 1970.
    pub times_us: Vec<i64>,
}

impl FeedItem {
    fn size(&self) -> usize {
        size_of::<Queued>()
            + match self {
                Self::Reading(reading) => reading.size(),
                Self::Status(_) => size_of::<Status>(),
                Self::Event(event) => event.size(),
                Self::Alarms(list) => list.size(),
                Self::Ward(_) => size_of::<WardSummary>(),
                Self::Escalation(_) => size_of::<AlarmChange>(),
                Self::Beats(beats) => size_of::<Beats>() + size_of_val(&*beats.times_us),
            }
    }

    fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Reading(reading) => Some(reading.device()),
            Self::Status(status) => Some(&status.device),
            Self::Event(event) => event.device(),
            Self::Alarms(list) => Some(&list.device),
            Self::Ward(_) => None,
            Self::Escalation(change) => change.device.as_ref(),
            Self::Beats(beats) => Some(&beats.device),
        }
    }
}

/// An item in a reader's queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) item: FeedItem,
    /// Of a reading, for the publisher alone, which answers for it.
    pub(crate) delivery: Option<Promise>,
}

/// That a reading will be with the broker.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) share: Share,
    /// The journal takes the reading, so that it may be let go: the backfill publishes it.
    pub(crate) is_durable: bool,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Its oldest items go.
    DropOldest,
    /// Who tells a reading waits after it until there is room: its connection is read no further. For a reader that needs
    /// nothing but the processor.
    Wait,
}

/// What a reader is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Reads,
    /// See [`Feed::subscribe_to_draw`].
    Draws,
    /// The publisher: it answers for each reading.
    Answers,
    /// See [`Feed::subscribe_for_looks`].
    Looks,
    /// See [`Feed::subscribe_to_late`].
    Late,
}

impl Role {
    /// Whether it is told of this when it happens.
    fn wants(self, item: &FeedItem) -> bool {
        match self {
            Self::Draws => true,
            Self::Reads | Self::Answers => !matches!(item, FeedItem::Beats(_)),
            Self::Late => false,
            Self::Looks => match item {
                FeedItem::Reading(reading) => !reading.source.is_derived,
                FeedItem::Status(_) => true,
                FeedItem::Event(event) => !matches!(**event, Event::Alarm(_)),
                FeedItem::Alarms(_) | FeedItem::Ward(_) | FeedItem::Escalation(_) | FeedItem::Beats(_) => {
                    false
                }
            },
        }
    }
}

/// See the module. Clones are the same feed.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    readers: Mutex<Vec<Arc<Queue>>>,
    /// How many there are, to be looked at without the lock: a feed without readers costs nothing.
    count: AtomicUsize,
    metrics: Metrics,
}

struct Queue {
    name: Box<str>,
    bytes_max: usize,
    when_full: WhenFull,
    role: Role,
    state: Mutex<State>,
    /// Told when something is there; only the reader waits for it.
    arrived: Notify,
    /// Told when there is room again.
    room: Notify,
    missed: Counter,
}

#[derive(Default)]
struct State {
    /// Older than `items`: what outlived the readings around it.
    kept: VecDeque<Queued>,
    kept_bytes: usize,
    items: VecDeque<Queued>,
    bytes: usize,
    is_closed: bool,
}

/// One reader of the feed. Dropping it ends its subscription.
pub struct FeedReader {
    feed: Feed,
    queue: Arc<Queue>,
}

impl Feed {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Shared { readers: Mutex::default(), count: AtomicUsize::new(0), metrics }))
    }

    /// Reads along from now on. `name` says in the metrics who missed something; give each kind of reader one.
    #[must_use]
    pub fn subscribe(&self, name: &str) -> FeedReader {
        self.attach_as(name, READER_BYTES_MAX, WhenFull::DropOldest, Role::Reads)
    }

    /// As [`Feed::subscribe`], and with the beats of each wave.
    #[must_use]
    pub fn subscribe_to_draw(&self, name: &str) -> FeedReader {
        self.attach_as(name, READER_BYTES_MAX, WhenFull::DropOldest, Role::Draws)
    }

    /// The subscription of one who looks now and then what is there, and is not woken: that costs who tells next to nothing. It gets
    /// what devices and the server do, and nothing that is derived of it.
    pub(crate) fn subscribe_for_looks(&self, name: &str) -> FeedReader {
        self.attach_as(name, READER_BYTES_MAX, WhenFull::DropOldest, Role::Looks)
    }

    /// The subscription to what devices held up and is not told to others, for one who looks now and then.
    pub(crate) fn subscribe_to_late(&self, name: &str) -> FeedReader {
        self.attach_as(name, LATE_BYTES_MAX, WhenFull::DropOldest, Role::Late)
    }

    /// The subscription of the publisher, which answers for each reading by its [`Promise`]. There is one at most.
    pub(crate) fn subscribe_publisher(&self, bytes_max: usize, when_full: WhenFull) -> FeedReader {
        self.attach_as("publisher", bytes_max, when_full, Role::Answers)
    }

    fn attach_as(&self, name: &str, bytes_max: usize, when_full: WhenFull, role: Role) -> FeedReader {
        let queue = Arc::new(Queue {
            name: name.into(),
            bytes_max,
            when_full,
            role,
            state: Mutex::default(),
            arrived: Notify::new(),
            room: Notify::new(),
            missed: self.0.metrics.missed_by(name),
        });
        let mut readers = self.readers();
        readers.push(Arc::clone(&queue));
        self.0.count.store(readers.len(), Ordering::Release);
        drop(readers);
        FeedReader { feed: self.clone(), queue }
    }

    /// Tells a reading. When no publisher takes its `promise`, its share is dropped, which says so. Waits while a queue is full
    /// whose readers want that.
    pub(crate) async fn reading(&self, reading: Reading, promise: Promise) {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if self.tell(&FeedItem::Reading(Arc::new(reading)), Some(promise)) {
            self.room().await;
        }
    }

    /// Tells a reading that its device held up, to those who look for such.
    pub(crate) fn late(&self, reading: Reading) {
        let item = FeedItem::Reading(Arc::new(reading));
        let size = item.size();
        for queue in self.readers().iter().filter(|queue| queue.role == Role::Late) {
            queue.push(Queued { item: item.clone(), delivery: None }, size);
        }
    }

    /// Tells that a device came or went.
    pub(crate) fn status(&self, status: Status) {
        if self.0.count.load(Ordering::Acquire) > 0 {
            self.tell(&FeedItem::Status(Arc::new(status)), None);
        }
    }

    /// Tells an event.
    pub(crate) fn event(&self, event: Event) {
        if self.0.count.load(Ordering::Acquire) > 0 {
            self.tell(&FeedItem::Event(Arc::new(event)), None);
        }
    }

    /// Tells beats.
    pub(crate) fn beats(&self, beats: Beats) {
        self.tell(&FeedItem::Beats(Arc::new(beats)), None);
    }

    /// Whether anyone wants beats.
    pub(crate) fn has_drawers(&self) -> bool {
        self.readers().iter().any(|queue| queue.role == Role::Draws)
    }

    /// Tells of alarms.
    pub(crate) fn alarms(&self, item: &FeedItem) {
        if self.0.count.load(Ordering::Acquire) > 0 {
            self.tell(item, None);
        }
    }

    /// Whether a queue is now full for which one waits.
    fn tell(&self, item: &FeedItem, mut promise: Option<Promise>) -> bool {
        let size = item.size();
        let mut is_full = false;
        for queue in self.readers().iter().filter(|queue| queue.role.wants(item)) {
            let delivery = if queue.role == Role::Answers { promise.take() } else { None };
            is_full |= queue.push(Queued { item: item.clone(), delivery }, size);
        }
        is_full
    }

    async fn room(&self) {
        loop {
            let full = self.readers().iter().find(|queue| queue.holds_back()).cloned();
            let Some(queue) = full else { return };
            let room = queue.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if queue.holds_back() {
                room.await;
            }
        }
    }

    /// Lets go what waits of a device.
    pub(crate) fn forget(&self, device: &DeviceId) {
        for queue in self.readers().iter() {
            queue.forget(device);
        }
    }

    /// Nothing more comes: readers get what waits, and then the end.
    pub(crate) fn close(&self) {
        for queue in self.readers().iter() {
            queue.close();
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Arc<Queue>>> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Adds an item; whether who tells has to wait now.
    fn push(&self, queued: Queued, size: usize) -> bool {
        let mut state = self.state();
        if state.is_closed {
            return false;
        }
        state.bytes += size;
        state.items.push_back(queued);
        let is_full = state.bytes > self.bytes_max;
        if is_full && self.when_full == WhenFull::DropOldest {
            while state.bytes > self.bytes_max
                && state.items.len() > 1
                && let Some(oldest) = state.pop_item()
            {
                let is_kept = self.role == Role::Looks && !matches!(oldest.item, FeedItem::Reading(_));
                if !is_kept || state.keep(oldest) {
                    self.note_missed();
                }
            }
        }
        drop(state);
        if matches!(self.role, Role::Reads | Role::Draws | Role::Answers) {
            self.arrived.notify_one();
        }
        is_full && self.when_full == WhenFull::Wait
    }

    fn note_missed(&self) {
        if self.missed.inc() == 0 {
            tracing::warn!(reader = &*self.name, "a reader of the feed is behind and misses the oldest");
        }
    }

    fn take(&self) -> Option<Queued> {
        let mut state = self.state();
        let queued = state.pop()?;
        let has_room = state.bytes <= self.bytes_max;
        drop(state);
        if self.when_full == WhenFull::Wait && has_room {
            self.room.notify_waiters();
        }
        Some(queued)
    }

    fn holds_back(&self) -> bool {
        let state = self.state();
        self.when_full == WhenFull::Wait && state.bytes > self.bytes_max && !state.is_closed
    }

    fn forget(&self, device: &DeviceId) {
        let mut state = self.state();
        let State { kept, kept_bytes, items, bytes, .. } = &mut *state;
        for (items, bytes) in [(kept, kept_bytes), (items, bytes)] {
            items.retain(|queued| queued.item.device() != Some(device));
            *bytes = items.iter().map(|queued| queued.item.size()).sum();
        }
        drop(state);
        self.room.notify_waiters();
    }

    fn close(&self) {
        self.state().is_closed = true;
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<Queued> {
        let Some(queued) = self.kept.pop_front() else { return self.pop_item() };
        self.kept_bytes -= queued.item.size();
        Some(queued)
    }

    fn pop_item(&mut self) -> Option<Queued> {
        let queued = self.items.pop_front()?;
        self.bytes -= queued.item.size();
        Some(queued)
    }

    /// Keeps what readings would push out; whether the oldest that was kept had to go.
    fn keep(&mut self, queued: Queued) -> bool {
        self.kept_bytes += queued.item.size();
        self.kept.push_back(queued);
        let is_full = self.kept_bytes > KEPT_BYTES_MAX;
        is_full && self.pop().is_some()
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.items.is_empty()
    }
}

impl FeedReader {
    /// The next item; `None` when the server has stopped and all is read.
    pub async fn next(&mut self) -> Option<FeedItem> {
        self.next_queued().await.map(|queued| queued.item)
    }

    /// How many items this reader and others of its name missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.queue.missed.get()
    }

    /// As [`FeedReader::next`], with the promise that the publisher answers for.
    pub(crate) async fn next_queued(&mut self) -> Option<Queued> {
        loop {
            if let Some(queued) = self.take() {
                return Some(queued);
            }
            if !self.ready().await {
                return None;
            }
        }
    }

    /// What is there already.
    pub(crate) fn take(&mut self) -> Option<Queued> {
        self.queue.take()
    }

    /// Waits until something is there; false when nothing more comes.
    pub(crate) async fn ready(&self) -> bool {
        loop {
            {
                let state = self.queue.state();
                if !state.is_empty() || state.is_closed {
                    return !state.is_empty();
                }
            }
            // One reader waits, and a notice without a waiter is kept for it.
            self.queue.arrived.notified().await;
        }
    }
}

impl Drop for FeedReader {
    fn drop(&mut self) {
        let mut readers = self.feed.readers();
        readers.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.feed.0.count.store(readers.len(), Ordering::Release);
        drop(readers);
        self.queue.close();
        // Who waits for the readings that wait here learns that they were let go.
        let items = std::mem::take(&mut self.queue.state().items);
        drop(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tests::measurement_of;
    use crate::ticket::{Delivery, Ticket};

    fn feed() -> Feed {
        Feed::new(Metrics::new())
    }

    async fn tell(feed: &Feed, sequence: u64) -> Arc<Ticket> {
        let ticket = Ticket::new();
        let promise = Promise { share: ticket.share(), is_durable: true };
        feed.reading(measurement_of("d", sequence).reading, promise).await;
        ticket
    }

    fn sequence_of(item: &FeedItem) -> u64 {
        let FeedItem::Reading(reading) = item else { panic!("a reading") };
        reading.sequence
    }

    #[tokio::test]
    async fn every_reader_gets_everything_in_order() {
        let feed = feed();
        let (mut one, mut other) = (feed.subscribe("one"), feed.subscribe("other"));
        for sequence in 1..=3 {
            tell(&feed, sequence).await;
        }
        feed.close();
        for reader in [&mut one, &mut other] {
            let mut seen = Vec::new();
            while let Some(item) = reader.next().await {
                seen.push(sequence_of(&item));
            }
            assert_eq!(seen, [1, 2, 3]);
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_behind_misses_the_oldest_alone_and_that_is_counted() {
        let metrics = Metrics::new();
        let feed = Feed::new(metrics.clone());
        let size = FeedItem::Reading(Arc::new(measurement_of("d", 1).reading)).size();
        let mut slow = feed.attach_as("slow", 2 * size, WhenFull::DropOldest, Role::Answers);
        let mut quick = feed.subscribe("quick");
        let mut tickets = Vec::new();
        for sequence in 1..=5 {
            tickets.push(tell(&feed, sequence).await);
            assert_eq!(sequence_of(&quick.next().await.unwrap()), sequence);
        }
        assert_eq!((slow.missed(), quick.missed()), (3, 0));
        let states: Vec<_> = tickets.iter().map(|ticket| ticket.state()).collect();
        assert_eq!(states[..3], [Delivery::Dropped; 3]);
        assert_eq!(states[3..], [Delivery::Waiting; 2]);
        assert_eq!(sequence_of(&slow.next().await.unwrap()), 4);
        assert!(metrics.to_text().contains(r#"vitalwire_feed_missed_total{reader="slow"} 3"#));
    }

    #[tokio::test]
    async fn readings_push_no_status_out_of_the_surveillances_queue() {
        let feed = feed();
        let size = FeedItem::Reading(Arc::new(measurement_of("d", 1).reading)).size();
        let mut looks = feed.attach_as("alarms", 2 * size, WhenFull::DropOldest, Role::Looks);
        let status = |is_online| Status {
            device: "d".parse().unwrap(),
            is_online,
            peer: "127.0.0.1:1".parse().unwrap(),
            local: None,
        };
        for is_online in [true, false] {
            feed.status(status(is_online));
            for sequence in 1..=5 {
                tell(&feed, sequence).await;
            }
        }
        let left = std::iter::from_fn(|| looks.take());
        let left: Vec<_> = left
            .map(|queued| match queued.item {
                FeedItem::Status(status) => format!("{}", status.is_online),
                item => sequence_of(&item).to_string(),
            })
            .collect();
        assert_eq!(left, ["true", "false", "4", "5"]);
        assert_eq!(looks.missed(), 8);
        // What is kept is bounded, too.
        let bytes_max = KEPT_BYTES_MAX + 2 * size;
        let told = 2 * bytes_max / FeedItem::Status(Arc::new(status(true))).size();
        for _ in 0..told {
            feed.status(status(true));
        }
        let left: usize = std::iter::from_fn(|| looks.take()).map(|queued| queued.item.size()).sum();
        assert!((bytes_max / 2..=bytes_max).contains(&left), "{left}");
        assert!(looks.missed() > 8);
        feed.forget(&"d".parse().unwrap());
        assert!(looks.take().is_none());
    }

    #[tokio::test]
    async fn who_tells_waits_for_a_publisher_that_wants_it_and_for_no_other() {
        let feed = feed();
        let mut publisher = feed.subscribe_publisher(1, WhenFull::Wait);
        let telling = tokio::spawn({
            let feed = feed.clone();
            async move { tell(&feed, 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!telling.is_finished());
        let queued = publisher.next_queued().await.unwrap();
        let ticket = telling.await.unwrap();
        assert_eq!(ticket.state(), Delivery::Waiting);
        queued.delivery.unwrap().share.deliver();
        assert_eq!(ticket.state(), Delivery::Delivered);
    }

    #[tokio::test]
    async fn what_no_publisher_takes_is_let_go() {
        let feed = feed();
        assert_eq!(tell(&feed, 1).await.state(), Delivery::Dropped, "no one listens");
        let _reader = feed.subscribe("alarms");
        assert_eq!(tell(&feed, 2).await.state(), Delivery::Dropped, "no publisher listens");
        let publisher = feed.subscribe_publisher(1 << 20, WhenFull::Wait);
        let ticket = tell(&feed, 3).await;
        assert_eq!(ticket.state(), Delivery::Waiting);
        drop(publisher);
        assert_eq!(ticket.state(), Delivery::Dropped, "the publisher ended");
    }

    #[tokio::test]
    async fn what_waits_of_an_erased_device_goes() {
        let feed = feed();
        let mut reader = feed.subscribe("one");
        tell(&feed, 1).await;
        feed.forget(&"d".parse().unwrap());
        feed.close();
        assert!(reader.next().await.is_none());
    }
}
