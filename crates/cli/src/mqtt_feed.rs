//! A subscription that stays: connects, subscribes, hands over each message, and connects again when the broker
//! was away. Gives up only where trying again cannot help.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, Publish, QoS, SubscribeFilter,
    SubscribeReasonCode,
};

use crate::mqtt::{MqttUrl, fatal_reason};

const RETRY_MS_FIRST: u64 = 250;
const RETRY_MS_MAX: u64 = 8_000;
/// Requests that wait for the event loop: one subscribe, one disconnect.
const REQUESTS_MAX: usize = 4;

/// What happens on a feed.
pub(crate) enum Notice<'a> {
    /// The broker granted all filters.
    Subscribed,
    /// A message came.
    Message(&'a Publish),
    /// All messages that had arrived are handed over: a good moment to write out.
    Idle,
    /// The connection ended; it is tried again.
    Lost(&'a str),
}

/// A subscription to some filters of one broker.
pub(crate) struct Feed {
    url: MqttUrl,
    filters: Vec<String>,
    qos: QoS,
    client: AsyncClient,
    events: EventLoop,
}

impl Feed {
    /// A feed that is not connected yet.
    pub(crate) fn new(url: MqttUrl, options: MqttOptions, filters: Vec<String>, qos: QoS) -> Self {
        let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
        Self { url, filters, qos, client, events }
    }

    /// Runs until it cannot go on; drop it to leave.
    ///
    /// # Errors
    /// When the broker cannot be reached at first, or refuses login or filter, or when `notice` fails.
    pub(crate) async fn run(
        mut self,
        mut notice: impl FnMut(Notice<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Infallible> {
        let mut retry_ms = None;
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(incoming)) => {
                    match &incoming {
                        Incoming::Publish(publish) => notice(Notice::Message(publish))?,
                        Incoming::ConnAck(_) => self.subscribe()?,
                        Incoming::SubAck(answer) => {
                            self.check_granted(&answer.return_codes)?;
                            retry_ms = Some(RETRY_MS_FIRST);
                            notice(Notice::Subscribed)?;
                        }
                        _ => {}
                    }
                    if self.events.state.events.is_empty() {
                        notice(Notice::Idle)?;
                    }
                }
                Ok(Event::Outgoing(_)) => {}
                Err(error) => {
                    let wait_ms = self.judge(&error, retry_ms)?;
                    notice(Notice::Lost(&error.to_string()))?;
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    retry_ms = Some((wait_ms * 2).min(RETRY_MS_MAX));
                }
            }
        }
    }

    fn subscribe(&self) -> anyhow::Result<()> {
        let filters = self.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), self.qos));
        // The channel is empty here: this is the first request of a connection.
        self.client.try_subscribe_many(filters).context("cannot ask for the subscription")
    }

    fn check_granted(&self, codes: &[SubscribeReasonCode]) -> anyhow::Result<()> {
        for (filter, code) in self.filters.iter().zip(codes) {
            if *code == SubscribeReasonCode::Failure {
                bail!(
                    "{} does not let {} read `{filter}`: choose a narrower --filter, such as the tree of one of \
                     your devices (`Pico/ID/#`), or ask for the right (`vitalwire user list` shows roles)",
                    self.url,
                    self.url.user.as_deref().unwrap_or("an unnamed client"),
                );
            }
        }
        Ok(())
    }

    /// How long to wait before the next try; an error where trying again is no use.
    fn judge(&self, error: &ConnectionError, retry_ms: Option<u64>) -> anyhow::Result<u64> {
        if let Some(reason) = fatal_reason(error, &self.url) {
            bail!(reason);
        }
        retry_ms.ok_or_else(|| {
            anyhow!("cannot reach a broker at {}: {error}. Is `vitalwire serve` running there?", self.url)
        })
    }
}
