//! What happened to devices lately, as the feed told it: of all devices together, a bounded number, in memory alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_gateway::{Event as FeedEvent, Status};

use crate::api::admin::DeviceEvent as Event;
use crate::time::to_ms;

/// Events of all devices. At it, the oldest goes.
const EVENTS_MAX: usize = 5_000;
/// Bytes of an event's words. What is longer is cut.
const DETAIL_LEN_MAX: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct Events(Mutex<VecDeque<(DeviceId, Event)>>);

impl Events {
    /// A device came or went.
    pub(crate) fn status(&self, status: &Status, time: SystemTime) {
        let kind = if status.is_online { "online" } else { "offline" };
        let detail = status.local.map(|local| format!("server's end: {local}")).unwrap_or_default();
        self.add(&status.device, Event { time: to_ms(time), kind, detail, peer: status.peer.to_string() });
    }

    /// Something happened. What happens to alarms is in their own log.
    pub(crate) fn event(&self, event: &FeedEvent) {
        if let FeedEvent::Device { device, peer, time, what } = event {
            let mut detail = what.to_string();
            if detail.len() > DETAIL_LEN_MAX {
                detail.truncate(detail.floor_char_boundary(DETAIL_LEN_MAX));
                detail.push('…');
            }
            let peer = peer.to_string();
            self.add(device, Event { time: to_ms(*time), kind: event.kind(), detail, peer });
        }
    }

    /// Those of a device, the newest first.
    pub(crate) fn of(&self, device: &DeviceId, limit: usize) -> Vec<Event> {
        let events = self.events();
        let own = events.iter().rev().filter(|(of, _)| of == device);
        own.take(limit).map(|(_, event)| event.clone()).collect()
    }

    /// Keeps those of these devices alone: of an erased one nothing may be left.
    pub(crate) fn keep(&self, is_enrolled: impl Fn(&DeviceId) -> bool) {
        self.events().retain(|(device, _)| is_enrolled(device));
    }

    fn add(&self, device: &DeviceId, event: Event) {
        let mut events = self.events();
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back((device.clone(), event));
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<(DeviceId, Event)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_gateway::DeviceEvent as What;

    use super::*;

    fn told(device: &str, text: &str) -> FeedEvent {
        FeedEvent::Device {
            device: device.parse().unwrap(),
            peer: "127.0.0.1:5000".parse().unwrap(),
            time: SystemTime::UNIX_EPOCH,
            what: What::BadMessage { detail: text.to_owned() },
        }
    }

    #[test]
    fn the_newest_come_first_and_those_of_a_device_that_is_gone_go() {
        let (events, a): (_, DeviceId) = (Events::default(), "a".parse().unwrap());
        events.event(&told("a", "first"));
        events.event(&told("b", "other"));
        events.event(&told("a", &"é".repeat(1_000)));
        let of_a = events.of(&a, 10);
        assert_eq!((of_a.len(), of_a[1].detail.as_str(), of_a[1].kind), (2, "first", "bad-message"));
        assert_eq!(of_a[0].detail.chars().count(), 129, "cut between characters");
        assert_eq!(events.of(&a, 1).len(), 1);
        events.keep(|device| device.as_str() == "b");
        assert!(events.of(&a, 10).is_empty());
        assert_eq!(events.of(&"b".parse().unwrap(), 10).len(), 1);
    }

    #[test]
    fn their_number_is_bounded() {
        let events = Events::default();
        (0..EVENTS_MAX + 1).for_each(|n| events.event(&told("a", &n.to_string())));
        let all = events.of(&"a".parse().unwrap(), usize::MAX);
        assert_eq!((all.len(), all[EVENTS_MAX - 1].detail.as_str()), (EVENTS_MAX, "1"));
    }
}
