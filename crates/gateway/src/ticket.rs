//! A ticket follows readings on their way to the broker: who has a share of it says when its reading is there. A share
//! that goes without that word means that its reading was let go, and who reads the journal behind publishes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use vitalwire_broker::Place;

/// What has become of a ticket's readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Some are on their way.
    Waiting,
    /// The broker has them all.
    Delivered,
    /// At least one was let go.
    Dropped,
}

/// One ticket for one or more readings.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    waiting: AtomicU32,
    dropped: AtomicBool,
    changed: Notify,
    /// Where the journal has its readings.
    place: Arc<Place>,
}

/// One reading's part of a ticket.
#[derive(Debug)]
#[must_use = "a share that is dropped says that its reading was let go"]
pub(crate) struct Share {
    ticket: Arc<Ticket>,
    delivered: bool,
}

impl Ticket {
    /// For readings that each get a [`Ticket::share`].
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// For readings that the broker got before.
    pub(crate) fn delivered() -> Arc<Self> {
        Self::new()
    }

    /// For readings that were not handed to the publisher.
    pub(crate) fn dropped() -> Arc<Self> {
        let ticket = Self::default();
        ticket.dropped.store(true, Ordering::Release);
        Arc::new(ticket)
    }

    /// For readings out of the journal.
    pub(crate) fn at(position: u64) -> Arc<Self> {
        let ticket = Self::default();
        ticket.place.settle(position);
        Arc::new(ticket)
    }

    /// Where the journal has its readings, as far as that is known.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// One more reading is on its way.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Share { ticket: Arc::clone(self), delivered: false }
    }

    pub(crate) fn state(&self) -> Delivery {
        if self.dropped.load(Ordering::Acquire) {
            Delivery::Dropped
        } else if self.waiting.load(Ordering::Acquire) > 0 {
            Delivery::Waiting
        } else {
            Delivery::Delivered
        }
    }

    /// Waits until nothing of it is on its way.
    pub(crate) async fn settled(&self) -> Delivery {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.state() {
                Delivery::Waiting => changed.await,
                state => return state,
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // No one is left who could say more.
        self.place.give_up();
    }
}

impl Share {
    /// Where the journal has the reading, as far as that is known.
    pub(crate) fn place(&self) -> &Arc<Place> {
        self.ticket.place()
    }

    /// The broker has the reading.
    pub(crate) fn deliver(mut self) {
        self.delivered = true;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !self.delivered {
            self.ticket.dropped.store(true, Ordering::Release);
        }
        self.ticket.waiting.fetch_sub(1, Ordering::AcqRel);
        self.ticket.changed.notify_waiters();
    }
}

/// The tickets of what is in the journal and was handed to the publisher at once, by position.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<BTreeMap<u64, Arc<Ticket>>>);

impl Claims {
    /// Says that the entry at `position` was handed to the publisher with `ticket`.
    pub(crate) fn claim(&self, position: u64, ticket: Arc<Ticket>) {
        self.table().insert(position, ticket);
    }

    pub(crate) fn find(&self, position: u64) -> Option<Arc<Ticket>> {
        self.table().get(&position).cloned()
    }

    /// Takes the ticket of an entry; `None` when no one published it.
    pub(crate) fn take(&self, position: u64) -> Option<Arc<Ticket>> {
        self.table().remove(&position)
    }

    /// Forgets the tickets up to `position`: claims that came too late.
    pub(crate) fn forget_through(&self, position: u64) {
        let mut table = self.table();
        let later = table.split_off(&(position + 1));
        *table = later;
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Ticket>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ticket_is_delivered_when_all_its_readings_are() {
        let ticket = Ticket::new();
        let (first, second) = (ticket.share(), ticket.share());
        assert_eq!(ticket.state(), Delivery::Waiting);
        first.deliver();
        let settled = tokio::spawn({
            let ticket = Arc::clone(&ticket);
            async move { ticket.settled().await }
        });
        tokio::task::yield_now().await;
        second.deliver();
        assert_eq!(settled.await.unwrap(), Delivery::Delivered);
    }

    #[tokio::test]
    async fn one_dropped_reading_drops_the_ticket() {
        let ticket = Ticket::new();
        let (first, second) = (ticket.share(), ticket.share());
        first.deliver();
        drop(second);
        assert_eq!(ticket.settled().await, Delivery::Dropped);
        assert_eq!(Ticket::dropped().state(), Delivery::Dropped);
    }

    #[test]
    fn claims_are_taken_once_and_old_ones_go() {
        let claims = Claims::default();
        for position in [3, 4, 9] {
            claims.claim(position, Ticket::delivered());
        }
        assert!(claims.take(4).is_some() && claims.take(4).is_none());
        claims.forget_through(8);
        assert!(claims.take(3).is_none() && claims.take(9).is_some());
    }
}
