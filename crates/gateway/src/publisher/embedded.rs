//! The broker in this process: one task reads the feed and publishes, in the turn in which the reading came.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tracing::{Instrument as _, error_span};
use vitalwire_access::DeviceId;
use vitalwire_broker::{Broker, BrokerAddresses, BrokerConfig, BrokerError, StorageError};
use vitalwire_registry::Logins;

use super::message::Message;
use super::render;
use super::status::{OFFLINE, ONLINE};
use crate::clock::utc_us;
use crate::feed::{Feed, FeedItem, FeedReader, WhenFull};
use crate::metrics::Metrics;
use crate::reading::Reading;
use crate::ticket::Share;
use crate::topics::ROOT;

/// Bytes of readings that wait to be published. At it, connections are read no further: all that publishing needs is the
/// processor, so that it is the devices' senders that have to wait.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How long a stop waits for what the feed holds.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Embedded {
    broker: Arc<Broker>,
    feed: Feed,
    /// Held while an item of the feed is published: an erasure must not overtake what was taken out of the feed before it.
    publishing: Arc<tokio::sync::Mutex<()>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    pub(super) async fn start(
        config: BrokerConfig,
        logins: &Arc<Logins>,
        feed: &Feed,
        metrics: &Metrics,
    ) -> Result<Self, BrokerError> {
        let broker = Arc::new(Broker::start(config, Arc::clone(logins)).await?);
        mark_all_offline(&broker).await;
        metrics.broker_connected.set(1);
        let reader = feed.subscribe_publisher(WAITING_BYTES_MAX, WhenFull::Wait);
        let publishing = Arc::default();
        let run = run(reader, Arc::clone(&broker), Arc::clone(&publishing));
        let task = tokio::spawn(run.instrument(error_span!("publisher")));
        Ok(Self { broker, feed: feed.clone(), publishing, task: Mutex::new(Some(task)) })
    }

    pub(super) fn addresses(&self) -> BrokerAddresses {
        self.broker.addresses()
    }

    pub(super) fn clients(&self) -> u64 {
        self.broker.stats().clients
    }

    pub(super) async fn backlog(&self, reading: &Reading, share: Share) {
        publish_all(&self.broker, render::backlog(reading)).await;
        share.deliver();
    }

    pub(super) async fn erase(&self, device: &DeviceId) -> Result<usize, StorageError> {
        let (ours, papers) = (format!("{ROOT}/{device}/"), format!("Pico/{device}/"));
        let _publishing = self.publishing.lock().await;
        self.feed.forget(device);
        self.broker.erase(|topic: &str| topic.starts_with(&ours) || topic.starts_with(&papers)).await
    }

    pub(super) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && tokio::time::timeout(STOP_PATIENCE, task).await.is_err()
        {
            tracing::warn!("stopped before all readings were published; the next start publishes them");
        }
        self.broker.stop().await;
    }
}

/// Publishes what the feed tells, until it ends.
async fn run(mut feed: FeedReader, broker: Arc<Broker>, publishing: Arc<tokio::sync::Mutex<()>>) {
    while feed.ready().await {
        let _publishing = publishing.lock().await;
        // An erasure may have let go what was there.
        let Some(queued) = feed.take() else { continue };
        let messages = match &queued.item {
            FeedItem::Reading(reading) => render::live(reading, utc_us(SystemTime::now())),
            FeedItem::Status(status) => render::status(status),
            FeedItem::Event(event) => vec![render::event(event)],
        };
        publish_all(&broker, messages).await;
        if let Some(promise) = queued.delivery {
            promise.share.deliver();
        }
    }
}

async fn publish_all(broker: &Broker, messages: Vec<Message>) {
    for message in messages {
        broker.publish(&*message.topic, message.payload, message.retain).await;
    }
}

/// Corrects what a gateway that died left behind: a device that was online then is not now. An external broker does this by
/// itself, by the wills of the status connections.
async fn mark_all_offline(broker: &Broker) {
    for (topic, payload) in broker.retained(&format!("{ROOT}/+/status")).await {
        if payload == ONLINE {
            broker.publish(&topic, OFFLINE, true).await;
        }
    }
}
