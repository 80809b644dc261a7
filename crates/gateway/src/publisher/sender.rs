//! The task that sends to the external broker: one connection, QoS 1, in order, at least once.
//!
//! A message is forgotten only when the broker acknowledged it. After a reconnection the unacknowledged ones
//! are sent again from the first, by a fresh client: rumqttc would drop them when the broker has lost the
//! session.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::Notify;

use super::Message;
use super::queue::Shared;

/// Messages handed to the client and not yet acknowledged.
pub(super) const INFLIGHT_MAX: u16 = 1_000;
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(100);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(5);
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);

/// The task that holds the connection to the broker.
pub(super) struct Sender {
    shared: Arc<Shared>,
    options: MqttOptions,
    address: String,
    /// Whether the present failure has been reported.
    failing: bool,
}

/// Messages on their way to the broker over one connection, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Flight {
    messages: Mutex<FlightMessages>,
    /// Told when the window has room again.
    room: Notify,
}

#[derive(Debug, Default)]
struct FlightMessages {
    /// Not handed to the client yet.
    waiting: VecDeque<Message>,
    /// Handed to the client, which has not said yet under which packet id it sends them.
    handed: VecDeque<Message>,
    /// Sent, not acknowledged.
    sent: VecDeque<(u16, Message)>,
}

impl FlightMessages {
    fn len(&self) -> usize {
        self.waiting.len() + self.handed.len() + self.sent.len()
    }

    fn on_sent(&mut self, packet_id: u16) {
        if let Some(message) = self.handed.pop_front() {
            self.sent.push_back((packet_id, message));
        }
    }

    fn on_acknowledged(&mut self, packet_id: u16) {
        if let Some(at) = self.sent.iter().position(|(id, _)| *id == packet_id) {
            let message = self.sent.remove(at).map(|(_, message)| message);
            if let Some(ticket) = message.and_then(|message| message.ticket) {
                ticket.deliver();
            }
        }
    }

    /// The next message for the client, while the window has room.
    fn hand_next(&mut self) -> Option<Message> {
        if self.handed.len() + self.sent.len() >= usize::from(INFLIGHT_MAX) {
            return None;
        }
        let message = self.waiting.pop_front()?;
        self.handed.push_back(message.clone());
        Some(message)
    }

    /// All messages wait again, in order, for the next connection.
    fn recall(&mut self) {
        let mut all: VecDeque<_> = self.sent.drain(..).map(|(_, message)| message).collect();
        all.append(&mut self.handed);
        all.append(&mut self.waiting);
        all.retain(|message| !message.topic.is_empty());
        self.waiting = all;
    }

    /// Lets go what waits on these topics, and marks what the client has by an empty topic: it is not sent again.
    fn erase(&mut self, concerned: impl Fn(&str) -> bool) {
        let under_way = self.handed.iter_mut().chain(self.sent.iter_mut().map(|(_, message)| message));
        for message in under_way.chain(self.waiting.iter_mut()).filter(|message| concerned(&message.topic)) {
            message.topic = Arc::from("");
            if let Some(ticket) = message.ticket.take() {
                ticket.drop_reading();
            }
        }
        self.waiting.retain(|message| !message.topic.is_empty());
    }
}

impl Flight {
    fn messages(&self) -> MutexGuard<'_, FlightMessages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`FlightMessages::erase`].
    pub(super) fn erase(&self, concerned: impl Fn(&str) -> bool) {
        self.messages().erase(concerned);
    }

    /// Takes the next item of the queue when none waits here; false when there is none or no need.
    fn refill(&self, shared: &Shared) -> bool {
        let waiting = &mut self.messages().waiting;
        waiting.is_empty() && shared.refill(waiting)
    }
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, options: MqttOptions, address: String) -> Self {
        Self { shared, options, address, failing: false }
    }

    pub(super) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let mut delay = RECONNECT_DELAY_MIN;
        loop {
            let (client, mut events) = AsyncClient::new(self.options.clone(), usize::from(INFLIGHT_MAX));
            let shared = Arc::clone(&self.shared);
            let flight = &shared.flight;
            // Neither future is dropped while the connection lasts: rumqttc's poll may lose a packet then.
            let error = tokio::select! {
                error = self.poll(&mut events, flight, &mut delay) => error,
                never = feed(&shared, &client, flight) => match never {},
                () = stop.cancelled() => return say_goodbye(&client, &mut events).await,
            };
            flight.messages().recall();
            self.report(&error);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
            delay = (delay * 2).min(RECONNECT_DELAY_MAX);
        }
    }

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
        self.failing = false;
        self.shared.connected.store(true, Ordering::Relaxed);
        self.shared.metrics.broker_connected.set(1);
        let waiting = self.shared.queue().items.len();
        tracing::info!(broker = self.address, waiting, "broker connected");
    }

    fn report(&mut self, error: &ConnectionError) {
        self.shared.connected.store(false, Ordering::Relaxed);
        self.shared.metrics.broker_connected.set(0);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(broker = self.address, %error, "broker away: readings wait in the journal until it is back");
        }
    }
}

/// Moves messages from the queue into the client's window.
async fn feed(shared: &Shared, client: &AsyncClient, flight: &Flight) -> std::convert::Infallible {
    loop {
        let next = flight.messages().hand_next();
        if let Some(Message { topic, payload, retain, .. }) = next {
            // The channel is as long as the window, so this does not wait; it fails only with the event
            // loop, and then the message is recalled.
            let _ = client.publish(&*topic, QoS::AtLeastOnce, retain, payload).await;
        } else if flight.refill(shared) {
            continue;
        } else {
            tokio::select! {
                () = shared.queued.notified() => {}
                () = flight.room.notified() => {}
            }
        }
    }
}

/// A clean goodbye keeps the broker from publishing wills; it may be away, too.
async fn say_goodbye(client: &AsyncClient, events: &mut EventLoop) {
    let _ = client.try_disconnect();
    let goodbye = async { while events.poll().await.is_ok() {} };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unacknowledged_messages_are_recalled_in_order() {
        let mut flight = FlightMessages::default();
        for text in ["1", "2", "3", "4"] {
            let payload = text.to_owned().into();
            flight.waiting.push_back(Message { topic: "t".into(), payload, retain: false, ticket: None });
        }
        for _ in 0..3 {
            flight.hand_next().unwrap();
        }
        flight.on_sent(1);
        flight.on_sent(2);
        flight.on_acknowledged(1);
        flight.recall();
        let order: Vec<_> = flight.waiting.iter().map(|message| message.payload.clone()).collect();
        assert_eq!(order, ["2", "3", "4"]);
    }
}
