//! One client's session: what it subscribed to, what is on its way to it, and how far it is behind. While the client is
//! connected it has a link, whose output the connection's task writes.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;

use super::filters::Subscription;
use super::replay::Replay;
use crate::message::{PerLane, Publication};
use crate::wire::{self, Form};

/// A message for one client.
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    pub(crate) publication: Arc<Publication>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) ids: Option<Arc<[u32]>>,
}

/// A message that was sent at QoS 1 or 2 and is not acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) packet_id: u16,
    pub(crate) message: Addressed,
    /// The client has it (PUBREC), and was told that we know.
    pub(crate) released: bool,
}

/// A will (MQTT 5 §3.1.2.5).
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) publication: Publication,
    pub(crate) delay_s: u32,
    /// The message's own expiry begins when the will is published.
    pub(crate) expiry_s: Option<u32>,
}

/// Why a connection ends from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Another connection has the client id now.
    TakenOver,
    /// The session is gone: its user was removed, or an operator ended it.
    Removed,
    /// The server stops.
    Stopping,
}

/// What a client can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    pub(crate) v5: bool,
    /// Messages that may be unacknowledged.
    pub(crate) window_max: u16,
    /// Bytes of a packet.
    pub(crate) packet_bytes_max: usize,
    /// Bytes that wait for its socket.
    pub(crate) out_bytes_max: usize,
}

/// A session's connection.
pub(crate) struct Link {
    /// Which connection it is: numbers are not used twice.
    pub(crate) number: u64,
    pub(crate) capacity: Capacity,
    pub(crate) out: Vec<u8>,
    pub(crate) waker: Option<Waker>,
    pub(crate) end: Option<End>,
    /// It has new output, and its task was not woken.
    pub(crate) is_dirty: bool,
    /// Bytes of `out` that the core has counted.
    pub(crate) counted: usize,
    /// Part of the encoded messages that goes to `out` in one copy, and how many they are.
    pub(crate) run: Range<usize>,
    pub(crate) run_messages: u64,
}

impl Link {
    pub(crate) fn new(number: u64, capacity: Capacity) -> Self {
        Self {
            number,
            capacity,
            out: Vec::new(),
            waker: None,
            end: None,
            is_dirty: false,
            counted: 0,
            run: 0..0,
            run_messages: 0,
        }
    }

    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < self.capacity.out_bytes_max
    }
}

/// How far a session is behind.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Where it goes on reading the log.
    pub(crate) position: PerLane<u64>,
    /// The archive's entries up to here it has had.
    pub(crate) entry: u64,
    /// Entries of smaller numbers were published before.
    pub(crate) number: u64,
    /// Readings come from the archive.
    pub(crate) replay: Option<Box<Replay>>,
}

impl Behind {
    pub(crate) fn new(position: u64, entry: u64, number: u64) -> Self {
        Self { position: PerLane::both(position), entry, number, replay: None }
    }
}

/// See the module.
pub(crate) struct Session {
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Arc<str>,
    /// Not used twice, also not after a restart.
    pub(crate) serial: u64,
    /// How long it outlives its connection, in seconds; zero: not at all.
    pub(crate) expiry_s: u32,
    pub(crate) subscriptions: BTreeMap<Box<str>, Subscription>,
    pub(crate) link: Option<Link>,
    /// When its connection ended.
    pub(crate) left_s: u64,
    pub(crate) will: Option<Will>,
    /// When a will that waits for its delay is due.
    pub(crate) will_due_s: Option<u64>,
    /// Sent and not acknowledged, in the order sent. The first `resent` were sent on this connection.
    pub(crate) window: VecDeque<InFlight>,
    pub(crate) resent: usize,
    pub(crate) last_packet_id: u16,
    /// Retained messages and those of shared subscriptions, which are not in the log.
    pub(crate) direct: VecDeque<Addressed>,
    /// Nothing while it gets messages as they come.
    pub(crate) behind: Option<Behind>,
    /// Packet ids of QoS 2 publications of the client that were taken and not released.
    pub(crate) received: HashSet<u16>,
    /// The disk has another state.
    pub(crate) changed: bool,
    /// The disk has it.
    pub(crate) is_on_disk: bool,
}

/// Where messages are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
}

impl Session {
    pub(crate) fn new(client_id: Arc<str>, user: Arc<str>, serial: u64) -> Self {
        Self {
            client_id,
            user,
            serial,
            expiry_s: 0,
            subscriptions: BTreeMap::new(),
            link: None,
            left_s: 0,
            will: None,
            will_due_s: None,
            window: VecDeque::new(),
            resent: 0,
            last_packet_id: 0,
            direct: VecDeque::new(),
            behind: None,
            received: HashSet::new(),
            changed: true,
            is_on_disk: false,
        }
    }

    /// Whether it is not connected and its time has passed, which begins up to a second after what `left_s` shows.
    pub(crate) fn is_over(&self, now_s: u64) -> bool {
        self.link.is_none() && self.left_s + u64::from(self.expiry_s) < now_s
    }

    /// Whether it outlives its connection.
    pub(crate) fn is_stored(&self) -> bool {
        self.expiry_s > 0
    }

    /// Whether something of QoS 1 or 2 can wait for it.
    pub(crate) fn can_miss(&self) -> bool {
        self.subscriptions.values().any(|subscription| subscription.qos > 0)
    }

    /// Whether a message of QoS 1 or 2 can be sent now. While something waits, nothing overtakes it.
    pub(crate) fn has_room(&self) -> bool {
        let Some(link) = &self.link else { return false };
        link.has_room()
            && self.resent == self.window.len()
            && self.window.len() < usize::from(link.capacity.window_max)
            // Ids are given in turn, so that the first that comes again is the oldest's.
            && self.window.front().is_none_or(|oldest| oldest.packet_id != self.next_packet_id())
    }

    fn next_packet_id(&self) -> u16 {
        self.last_packet_id.checked_add(1).unwrap_or(1)
    }

    /// Sends a message; at QoS 1 and 2 there must be room. One that is larger than the client takes counts as sent for it.
    pub(crate) fn send(&mut self, message: Addressed, now_s: u64, count: &mut Sent) {
        let packet_id = if message.qos > 0 { self.next_packet_id() } else { 0 };
        let Some(link) = &mut self.link else { return };
        let form = form(link, &message, packet_id, now_s);
        if wire::publish_len(&message.publication, form) > link.capacity.packet_bytes_max
            || message.publication.is_expired(now_s)
        {
            count.dropped += 1;
            return;
        }
        wire::publish(&mut link.out, &message.publication, form);
        count.sent += 1;
        if message.qos > 0 {
            self.last_packet_id = packet_id;
            self.changed = true;
            self.resent += 1;
            self.window.push_back(InFlight { packet_id, message, released: false });
        }
    }

    /// Sends again, after a connection came back, what the client did not acknowledge (MQTT 5 §4.4), as far as it takes it. What
    /// is larger than it takes now counts as sent.
    pub(crate) fn resend(&mut self, now_s: u64, count: &mut Sent) {
        let Some(link) = &mut self.link else { return };
        while self.resent < usize::from(link.capacity.window_max) && link.has_room() {
            let Some(in_flight) = self.window.get(self.resent) else { return };
            let publication = &in_flight.message.publication;
            let form = form(link, &in_flight.message, in_flight.packet_id, now_s);
            if in_flight.released {
                wire::release(&mut link.out, in_flight.packet_id);
            } else if wire::publish_len(publication, form) > link.capacity.packet_bytes_max {
                self.window.remove(self.resent);
                self.changed = true;
                count.dropped += 1;
                continue;
            } else {
                wire::publish(&mut link.out, publication, Form { dup: true, ..form });
            }
            self.resent += 1;
        }
    }

    fn sent_position(&self, packet_id: u16) -> Option<usize> {
        // Clients acknowledge in order (MQTT-4.6.0-2), so that it is nearly always the first.
        self.window.iter().take(self.resent).position(|in_flight| in_flight.packet_id == packet_id)
    }

    /// The client has the message of this id and all that goes with it is done. False when there is none.
    pub(crate) fn finished(&mut self, packet_id: u16) -> bool {
        let Some(at) = self.sent_position(packet_id) else { return false };
        self.window.remove(at);
        self.resent -= 1;
        self.changed = true;
        true
    }

    /// The client has the QoS 2 message of this id. Answers with PUBREL.
    pub(crate) fn released(&mut self, packet_id: u16) -> bool {
        let Some(at) = self.sent_position(packet_id) else { return false };
        let Some(link) = &mut self.link else { return false };
        let Some(in_flight) = self.window.get_mut(at).filter(|of| of.message.qos == 2) else { return false };
        in_flight.released = true;
        self.changed = true;
        wire::release(&mut link.out, packet_id);
        true
    }

    /// Whether there is a QoS `qos` message of this id.
    pub(crate) fn is_in_flight(&self, packet_id: u16, qos: u8) -> bool {
        self.sent_position(packet_id)
            .and_then(|at| self.window.get(at))
            .is_some_and(|in_flight| in_flight.message.qos == qos)
    }

    /// Moves the messages that were encoded for several clients to its output.
    pub(crate) fn end_run(&mut self, encoded: &[Vec<u8>; 2], count: &mut Sent) {
        let Some(link) = &mut self.link else { return };
        if link.run_messages == 0 {
            return;
        }
        let run =
            encoded.get(usize::from(link.capacity.v5)).and_then(|encoded| encoded.get(link.run.clone()));
        match run.filter(|_| link.has_room()) {
            Some(run) => {
                link.out.extend_from_slice(run);
                count.sent += link.run_messages;
            }
            None => count.dropped += link.run_messages,
        }
        link.run = 0..0;
        link.run_messages = 0;
    }
}

fn form<'a>(link: &Link, message: &'a Addressed, packet_id: u16, now_s: u64) -> Form<'a> {
    Form {
        v5: link.capacity.v5,
        qos: message.qos,
        retain: message.retain,
        dup: false,
        packet_id,
        ids: message.ids.as_deref().unwrap_or_default(),
        now_s,
    }
}
