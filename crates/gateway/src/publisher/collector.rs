//! Takes the feed for an external broker: readings and events into the queue, statuses to the connections that carry them.
//! While the broker is away, readings that the journal has are let go at once: the backfill publishes them when it is back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::{Item, Shared};
use super::render;
use super::status::Statuses;
use crate::feed::{FeedItem, FeedReader};
use crate::topics::DeviceTopics;

pub(super) struct Collector {
    feed: FeedReader,
    shared: Arc<Shared>,
    statuses: Statuses,
}

impl Collector {
    pub(super) fn new(feed: FeedReader, shared: Arc<Shared>, statuses: Statuses) -> Self {
        Self { feed, shared, statuses }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes what is there.
    pub(super) fn collect(&mut self) {
        while let Some(queued) = self.feed.take() {
            match (queued.item, queued.delivery) {
                (FeedItem::Reading(reading), Some(promise)) => {
                    if !promise.is_durable || self.shared.connected.load(Ordering::Relaxed) {
                        self.shared.enqueue(Item::Reading(reading, promise));
                    }
                }
                // Only the publisher's readings are promised to the broker.
                (FeedItem::Reading(_), None) => {}
                (FeedItem::Status(status), _) => {
                    let topics = DeviceTopics::new(&status.device);
                    for message in render::ends(&status, &topics) {
                        self.shared.enqueue(Item::Message(message));
                    }
                    self.statuses.note(&status, topics.status);
                }
                (FeedItem::Event(event), _) => self.shared.enqueue(Item::Message(render::event(&event))),
                (FeedItem::Alarms(list), _) => self.shared.enqueue_standing(render::alarms(&list)),
                (FeedItem::Ward(summary), _) => self.shared.enqueue_standing(render::ward(&summary)),
                (FeedItem::Escalation(change), _) => {
                    self.shared.enqueue(Item::Message(render::escalation(&change)));
                }
                (FeedItem::Beats(_), _) => {}
            }
        }
    }

    /// Waits until there is more; for ever when there will be none.
    pub(super) async fn ready(&self) {
        if !self.feed.ready().await {
            self.shared.collected.store(true, Ordering::Release);
            self.shared.emptied.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
