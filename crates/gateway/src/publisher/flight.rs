//! Messages on their way to the external broker. One is forgotten only when the broker acknowledged it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::message::Message;

/// Messages handed to the client and not yet acknowledged.
pub(super) const INFLIGHT_MAX: u16 = 1_000;

/// Messages on their way to the broker over one connection, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Flight {
    messages: Mutex<FlightMessages>,
    /// Told when the window has room again.
    pub(super) room: Notify,
}

#[derive(Debug, Default)]
pub(super) struct FlightMessages {
    /// Not handed to the client yet.
    pub(super) waiting: VecDeque<Message>,
    /// Handed to the client, which has not said yet under which packet id it sends them.
    handed: VecDeque<Message>,
    /// Sent, not acknowledged.
    sent: VecDeque<(u16, Message)>,
}

/// What the client is handed of a message.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
}

impl FlightMessages {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.handed.len() + self.sent.len()
    }

    pub(super) fn on_sent(&mut self, packet_id: u16) {
        if let Some(message) = self.handed.pop_front() {
            self.sent.push_back((packet_id, message));
        }
    }

    pub(super) fn on_acknowledged(&mut self, packet_id: u16) {
        if let Some(at) = self.sent.iter().position(|(id, _)| *id == packet_id) {
            let message = self.sent.remove(at).map(|(_, message)| message);
            if let Some(share) = message.and_then(|message| message.share) {
                share.deliver();
            }
        }
    }

    /// The next message for the client, while the window has room. It stays until it is acknowledged. Values that are no longer
    /// live are left out: they waited while the broker was away, and their topics say no time.
    pub(super) fn hand_next(&mut self, now_us: i64) -> Option<Handed> {
        if self.handed.len() + self.sent.len() >= usize::from(INFLIGHT_MAX) {
            return None;
        }
        let is_due = |message: &Message| message.live_until_us.is_none_or(|until_us| now_us <= until_us);
        let message = loop {
            let next = self.waiting.pop_front()?;
            if is_due(&next) {
                break next;
            }
        };
        let Message { topic, payload, retain, .. } = &message;
        let handed = Handed { topic: Arc::clone(topic), payload: payload.clone(), retain: *retain };
        self.handed.push_back(message);
        Some(handed)
    }

    /// All messages wait again, in order, for the next connection.
    pub(super) fn recall(&mut self) {
        let mut all: VecDeque<_> = self.sent.drain(..).map(|(_, message)| message).collect();
        all.append(&mut self.handed);
        all.append(&mut self.waiting);
        all.retain(|message| !message.topic.is_empty());
        self.waiting = all;
    }

    /// Lets go what waits on these topics, and marks what the client has by an empty topic: it is not sent again.
    pub(super) fn erase(&mut self, concerned: impl Fn(&str) -> bool) {
        let under_way = self.handed.iter_mut().chain(self.sent.iter_mut().map(|(_, message)| message));
        for message in under_way.chain(self.waiting.iter_mut()).filter(|message| concerned(&message.topic)) {
            message.topic = Arc::from("");
            message.share = None;
        }
        self.waiting.retain(|message| !message.topic.is_empty());
    }
}

impl Flight {
    pub(super) fn messages(&self) -> MutexGuard<'_, FlightMessages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`FlightMessages::erase`].
    pub(super) fn erase(&self, concerned: impl Fn(&str) -> bool) {
        self.messages().erase(concerned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unacknowledged_messages_are_recalled_in_order() {
        let mut flight = FlightMessages::default();
        for text in ["1", "2", "3", "4"] {
            flight.waiting.push_back(Message::passing(&"t".into(), text.to_owned()));
        }
        for _ in 0..3 {
            flight.hand_next(0).unwrap();
        }
        flight.on_sent(1);
        flight.on_sent(2);
        flight.on_acknowledged(1);
        flight.recall();
        let order: Vec<_> = flight.waiting.iter().map(|message| message.payload.clone()).collect();
        assert_eq!(order, ["2", "3", "4"]);
    }

    #[test]
    fn values_that_waited_too_long_are_not_sent_and_readings_are() {
        let mut flight = FlightMessages::default();
        for (topic, live_until_us) in [("Pico/d/a", Some(10)), ("Pico/d/b", Some(20)), ("reading", None)] {
            let message = Message::passing(&topic.into(), "1");
            flight.waiting.push_back(Message { live_until_us, ..message });
        }
        let sent: Vec<_> = std::iter::from_fn(|| flight.hand_next(15)).map(|next| next.topic).collect();
        assert_eq!(sent.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["Pico/d/b", "reading"]);
        flight.recall();
        let sent: Vec<_> = std::iter::from_fn(|| flight.hand_next(99)).map(|next| next.topic).collect();
        assert_eq!(sent.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["reading"]);
    }
}
