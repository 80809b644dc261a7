//! What waits for the external broker: the oldest first, in bounded memory.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vitalwire_access::DeviceId;

use super::flight::Flight;
use super::render;
use crate::message::Message;
use crate::metrics::Metrics;
use crate::reading::Reading;
use crate::ticket::Share;

/// What the connections and the sending task share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) flight: Flight,
    /// Told when something joins the queue; only the sending task waits for it.
    pub(super) queued: Notify,
    /// Told when nothing waits and nothing is on its way; only a stop waits for it.
    pub(super) emptied: Notify,
    pub(super) stop: CancellationToken,
    /// Whether the broker takes messages now.
    pub(super) connected: AtomicBool,
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
}

/// A reading waits as it is: its eight messages would take four times the memory.
#[derive(Debug)]
pub(super) enum Item {
    Reading(Reading, Share),
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
            metrics,
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next item of the queue into the flight when none waits there; false when there is none or no need.
    pub(super) fn refill_flight(&self) -> bool {
        let waiting = &mut self.flight.messages().waiting;
        waiting.is_empty() && self.refill(waiting)
    }

    /// Moves the oldest item to the end of `waiting`, as messages; false when there is none.
    fn refill(&self, waiting: &mut VecDeque<Message>) -> bool {
        let mut queue = self.queue();
        let next = queue.pop_front().or_else(|| queue.backlog.pop_front());
        match next {
            None => return false,
            Some(Item::Message(message)) => waiting.push_back(message),
            Some(Item::Reading(reading, share)) => {
                waiting.extend(render::messages(&reading));
                match waiting.back_mut() {
                    Some(last) => last.share = Some(share),
                    None => share.deliver(),
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

    pub(super) fn enqueue(&self, item: Item) {
        let mut queue = self.queue();
        let dropped = queue.push_back(item);
        self.metrics.backlog.set(queue.items.len() as u64);
        drop(queue);
        if dropped > 0 && self.metrics.dropped.inc_by(dropped) == 0 {
            tracing::error!(
                "the broker is away and the memory for waiting readings is full: the oldest are lost"
            );
        }
        self.queued.notify_one();
    }
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

    /// Adds an item; the number of oldest items that had to go for it.
    fn push_back(&mut self, item: Item) -> u64 {
        self.bytes += item.size();
        self.items.push_back(item);
        let mut dropped = 0;
        while self.bytes > self.bytes_max && self.items.len() > 1 {
            self.pop_front();
            dropped += 1;
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
        Item::Message(Message {
            topic: "t".into(),
            payload: text.to_owned().into(),
            retain: false,
            share: None,
        })
    }

    #[test]
    fn full_queue_drops_the_oldest() {
        let bytes_max = 3 * message("a").size();
        let mut queue = Queue { bytes_max, ..Queue::default() };
        let dropped: u64 = ["a", "b", "c", "d", "e"].map(|text| queue.push_back(message(text))).iter().sum();
        assert_eq!((dropped, queue.items.len(), queue.bytes), (2, 3, bytes_max));
        let Some(Item::Message(first)) = queue.pop_front() else { panic!("a message waits") };
        assert_eq!(first.payload, "c");
    }
}
