//! What waits for the external broker: the oldest first, in bounded memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vitalwire_access::DeviceId;

use super::flight::Flight;
use super::message::Message;
use super::render;
use crate::feed::Promise;
use crate::metrics::Metrics;
use crate::reading::Reading;

/// What the connections and the sending task share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) flight: Flight,
    /// Told when a backlog joins the queue; only the sending task waits for it.
    pub(super) queued: Notify,
    /// Told when nothing waits and nothing is on its way; only a stop waits for it.
    pub(super) emptied: Notify,
    pub(super) stop: CancellationToken,
    /// Whether the broker takes messages now.
    pub(super) connected: AtomicBool,
    /// Whether the feed has ended and all of it is in the queue.
    pub(super) collected: AtomicBool,
    pub(super) metrics: Metrics,
}

/// Messages and readings that wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) items: VecDeque<Item>,
    /// Readings out of the journal, which are sent when no item waits. The backfill bounds it by its window.
    backlog: VecDeque<Item>,
    bytes: usize,
    bytes_max: usize,
    /// Handed to the sending task and not acknowledged yet.
    sending: usize,
    /// What stands at topics until something else does, and is said again to each broker that comes back: the open alarms. Bounded by
    /// the devices that are enrolled.
    standing: BTreeMap<Arc<str>, Bytes>,
}

/// A reading waits as it is: its eight messages would take four times the memory.
#[derive(Debug)]
pub(super) enum Item {
    Reading(Arc<Reading>, Promise),
    Message(Message),
}

impl Item {
    fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Reading(reading, _) => reading.size(),
                Self::Message(message) => message.topic.len() + message.payload.len(),
            }
    }
}

impl Shared {
    pub(super) fn new(bytes_max: usize, metrics: Metrics) -> Self {
        Self {
            queue: Mutex::new(Queue { bytes_max, ..Queue::default() }),
            flight: Flight::default(),
            queued: Notify::new(),
            emptied: Notify::new(),
            stop: CancellationToken::new(),
            connected: AtomicBool::new(false),
            collected: AtomicBool::new(false),
            metrics,
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next item of the queue into the flight when none waits there; false when there is none or no need.
    pub(super) fn refill_flight(&self, now_us: i64) -> bool {
        let waiting = &mut self.flight.messages().waiting;
        if !waiting.is_empty() {
            return false;
        }
        let mut queue = self.queue();
        let live = queue.pop_front();
        let is_backlog = live.is_none();
        let Some(item) = live.or_else(|| queue.backlog.pop_front()) else { return false };
        match item {
            Item::Message(message) => waiting.push_back(message),
            Item::Reading(reading, promise) => {
                let mut messages = Vec::new();
                if is_backlog {
                    render::backlog(&reading, &mut messages);
                } else {
                    render::live(&reading, now_us, &mut messages);
                }
                waiting.extend(messages);
                match waiting.back_mut() {
                    Some(last) => last.share = Some(promise.share),
                    None => promise.share.deliver(),
                }
            }
        }
        queue.sending += 1;
        true
    }

    pub(super) fn note_flight(&self, sending: usize) {
        let mut queue = self.queue();
        queue.sending = sending;
        self.metrics.backlog.set(queue.items.len() as u64);
        if queue.is_empty() {
            self.emptied.notify_one();
        }
    }

    pub(super) fn enqueue_backlog(&self, item: Item) {
        self.queue().backlog.push_back(item);
        self.queued.notify_one();
    }

    /// Sends what stands at its topic from now on. While the broker is away it waits in the place of what stood there before.
    pub(super) fn enqueue_standing(&self, message: Message) {
        let mut queue = self.queue();
        let Message { topic, payload, .. } = &message;
        if payload.is_empty() {
            queue.standing.remove(topic);
        } else {
            queue.standing.insert(Arc::clone(topic), payload.clone());
        }
        drop(queue);
        // What is taken away must go from a broker that is away, too.
        if message.payload.is_empty() || self.connected.load(Ordering::Relaxed) {
            self.enqueue(Item::Message(message));
        }
    }

    /// What stands at this topic goes, also where it was sent before.
    pub(super) fn take_away(&self, topic: &Arc<str>) {
        if self.queue().standing.contains_key(topic) {
            self.enqueue_standing(Message::retained(topic, Bytes::new()));
            self.queued.notify_one();
        }
    }

    /// Says again what stands: the broker may have lost it, and has missed what changed while it was away.
    pub(super) fn say_what_stands(&self) {
        let standing: Vec<_> = {
            let queue = self.queue();
            queue.standing.iter().map(|(topic, payload)| Message::retained(topic, payload.clone())).collect()
        };
        standing.into_iter().for_each(|message| self.enqueue(Item::Message(message)));
        self.queued.notify_one();
    }

    pub(super) fn enqueue(&self, item: Item) {
        let mut queue = self.queue();
        let dropped = queue.push_back(item);
        self.metrics.backlog.set(queue.items.len() as u64);
        drop(queue);
        if dropped.all > 0 && self.metrics.dropped.inc_by(dropped.all) == 0 {
            tracing::warn!("the memory for what waits for the broker is full: the oldest go");
        }
        if dropped.lost > 0 && self.metrics.lost.inc_by(dropped.lost) == 0 {
            tracing::error!(
                "readings are lost: the broker is away, the journal takes none, and the memory for them is full"
            );
        }
    }
}

/// What had to go out of a full queue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dropped {
    all: u64,
    /// Readings that the journal may not have.
    lost: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.backlog.is_empty() && self.sending == 0
    }

    /// Lets go the readings of a device.
    pub(super) fn erase(&mut self, device: &DeviceId) {
        let is_of = |item: &Item| matches!(item, Item::Reading(reading, _) if reading.device() == device);
        for queue in [&mut self.items, &mut self.backlog] {
            queue.retain(|item| !is_of(item));
        }
        self.bytes = self.items.iter().map(Item::size).sum();
    }

    /// How many readings wait that the journal has, and how many that it may not have.
    pub(super) fn readings(&self) -> (usize, usize) {
        let promises = self.items.iter().chain(&self.backlog).filter_map(|item| match item {
            Item::Reading(_, promise) => Some(promise),
            Item::Message(_) => None,
        });
        promises.fold(
            (0, 0),
            |(durable, other), promise| {
                if promise.is_durable { (durable + 1, other) } else { (durable, other + 1) }
            },
        )
    }

    /// Adds an item; which of the oldest had to go for it.
    fn push_back(&mut self, item: Item) -> Dropped {
        self.bytes += item.size();
        self.items.push_back(item);
        let mut dropped = Dropped::default();
        while self.bytes > self.bytes_max && self.items.len() > 1 {
            if let Some(Item::Reading(_, promise)) = self.pop_front() {
                dropped.lost += u64::from(!promise.is_durable);
            }
            dropped.all += 1;
        }
        dropped
    }

    fn pop_front(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.size();
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Item {
        Item::Message(Message::passing(&"t".into(), text.to_owned()))
    }

    #[test]
    fn full_queue_drops_the_oldest() {
        let bytes_max = 3 * message("a").size();
        let mut queue = Queue { bytes_max, ..Queue::default() };
        let dropped: u64 =
            ["a", "b", "c", "d", "e"].map(|text| queue.push_back(message(text)).all).iter().sum();
        assert_eq!((dropped, queue.items.len(), queue.bytes), (2, 3, bytes_max));
        let Some(Item::Message(first)) = queue.pop_front() else { panic!("a message waits") };
        assert_eq!(first.payload, "c");
    }
}
