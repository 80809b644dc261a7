//! The task that sends to the external broker: one connection, QoS 1, in order, at least once.
//!
//! A message is forgotten only when the broker acknowledged it. After a reconnection the unacknowledged ones
//! are sent again from the first, by a fresh client: rumqttc would drop them when the broker has lost the
//! session.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS,
};

use super::collector::Collector;
use super::flight::{Flight, Handed, INFLIGHT_MAX};
use super::queue::Shared;
use crate::clock::utc_us;

const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(100);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(5);
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);

/// The task that holds the connection to the broker.
pub(super) struct Sender {
    shared: Arc<Shared>,
    collector: Collector,
    options: MqttOptions,
}

impl Sender {
    pub(super) fn new(collector: Collector, options: MqttOptions) -> Self {
        Self { shared: Arc::clone(collector.shared()), collector, options }
    }

    pub(super) async fn run(self) {
        let Self { shared, mut collector, options } = self;
        let user = options.credentials().map(|login| login.username).unwrap_or_default();
        let mut connection = Connection { shared: Arc::clone(&shared), user, reported: None };
        let stop = shared.stop.clone();
        let mut delay = RECONNECT_DELAY_MIN;
        loop {
            let (client, mut events) = AsyncClient::new(options.clone(), usize::from(INFLIGHT_MAX));
            let flight = &shared.flight;
            // Neither future is dropped while the connection lasts: rumqttc's poll may lose a packet then.
            let error = tokio::select! {
                error = connection.poll(&mut events, flight, &mut delay) => error,
                never = send(&mut collector, &client, flight) => match never {},
                () = stop.cancelled() => return say_goodbye(&client, &mut events).await,
            };
            flight.messages().recall();
            connection.report(&error);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                never = collect(&mut collector) => match never {},
                () = stop.cancelled() => return,
            }
            delay = (delay * 2).min(RECONNECT_DELAY_MAX);
        }
    }
}

/// What is known of the connection to the broker.
struct Connection {
    shared: Arc<Shared>,
    /// As whom it logs in.
    user: String,
    /// The present failure, when it has been reported.
    reported: Option<Failure>,
}

/// What a person does about it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Away,
    Login,
}

impl Failure {
    fn of(error: &ConnectionError) -> Self {
        use ConnectReturnCode::{BadUserNamePassword, NotAuthorized};
        match error {
            ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized) => Self::Login,
            _ => Self::Away,
        }
    }
}

impl Connection {
    /// Drives one connection to its end.
    async fn poll(
        &mut self,
        events: &mut EventLoop,
        flight: &Flight,
        delay: &mut Duration,
    ) -> ConnectionError {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    *delay = RECONNECT_DELAY_MIN;
                    self.report_connected();
                }
                Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => flight.messages().on_sent(packet_id),
                Ok(Event::Incoming(Packet::PubAck(ack))) => {
                    flight.messages().on_acknowledged(ack.pkid);
                    self.shared.note_flight(flight.messages().len());
                    flight.room.notify_one();
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    fn report_connected(&mut self) {
        self.reported = None;
        self.shared.connected.store(true, Ordering::Relaxed);
        self.shared.metrics.broker_connected.set(1);
        self.shared.say_what_stands();
        let waiting = self.shared.queue().items.len();
        tracing::info!(waiting, "broker connected");
    }

    fn report(&mut self, error: &ConnectionError) {
        self.shared.connected.store(false, Ordering::Relaxed);
        self.shared.metrics.broker_connected.set(0);
        let failure = Failure::of(error);
        if self.reported.replace(failure) == Some(failure) {
            return;
        }
        match failure {
            Failure::Away => {
                tracing::error!(%error, "broker away: readings wait in the journal until it is back");
            }
            Failure::Login => tracing::error!(
                "the broker refuses the login of {}: give it the same password there and here; readings wait in the journal",
                self.user
            ),
        }
    }
}

/// Moves what the feed has into the queue, and messages from the queue into the client's window.
async fn send(collector: &mut Collector, client: &AsyncClient, flight: &Flight) -> Infallible {
    let shared = Arc::clone(collector.shared());
    loop {
        collector.collect();
        let now_us = utc_us(SystemTime::now());
        loop {
            let next = flight.messages().hand_next(now_us);
            if let Some(Handed { topic, payload, retain }) = next {
                // The channel is as long as the window, so this does not wait; it fails only with the event
                // loop, and then the message is recalled.
                let _ = client.publish(&*topic, QoS::AtLeastOnce, retain, payload).await;
            } else if !shared.refill_flight(now_us) {
                break;
            }
        }
        tokio::select! {
            () = collector.ready() => {}
            () = shared.queued.notified() => {}
            () = flight.room.notified() => {}
        }
    }
}

/// Takes what the feed has while there is no connection.
async fn collect(collector: &mut Collector) -> Infallible {
    loop {
        collector.collect();
        collector.ready().await;
    }
}

/// A clean goodbye keeps the broker from publishing wills; it may be away, too.
async fn say_goodbye(client: &AsyncClient, events: &mut EventLoop) {
    let _ = client.try_disconnect();
    let goodbye = async { while events.poll().await.is_ok() {} };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
}
