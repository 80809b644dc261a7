//! What the fuzz target `mqtt` asks: a client says anything, and a broker without sockets answers. It is private otherwise; only
//! the feature `fuzzing` opens it.

#![expect(clippy::panic, clippy::expect_used, reason = "a finding is a panic")]

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::core::log::LogLimits;
use crate::core::session::{Capacity, Will};
use crate::core::turn::{Turn, Wish};
use crate::core::{At, Changes, Core, CoreLimits, Leaving, Newcomer};
use crate::message::{Lane, PerLane, Publication};
use crate::protocol::{
    Accepted, ConnectRefusal, ConnectRequest, Input, Protocol, ProtocolLimits, PublishRequest,
    SubscribeRefusal,
};
use crate::storage::Stored;
use crate::wire::{Frame, frame};

/// So small that inputs of some kilobytes reach them.
const LIMITS: CoreLimits = CoreLimits {
    log: LogLimits { messages_max: 20, bytes_max: 1 << 14 },
    subscriptions_max: 4,
    sessions_per_user_max: 4,
    session_expiry_s_max: 50,
    retained_max: 4,
    retained_bytes_max: 1 << 20,
    direct_max: 4,
    out_bytes_max: 1 << 12,
    topics_bytes_max: 1 << 10,
};
const PROTOCOL_LIMITS: ProtocolLimits =
    ProtocolLimits { packet_bytes_max: 1 << 10, publishes_max: 3, aliases_max: 3 };
const PACKET_BYTES_MAX: usize = PROTOCOL_LIMITS.packet_bytes_max as usize;
const WINDOW_MAX: u16 = 5;
const OUT_BYTES_MAX: usize = 1 << 11;
/// Cuts that are tried of one packet.
const CUTS_MAX: usize = 300;

/// CONNECT as `c`, to a session that stays.
const CONNECT_3: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x3c\x00\x01c";
const CONNECT_5: &[u8] = b"\x10\x13\x00\x04MQTT\x05\x00\x00\x3c\x05\x11\x00\x00\x00\x28\x00\x01c";

/// The first byte chooses whether a good CONNECT of 3.1.1 or of 5 comes first, because few inputs make one up, and whether the
/// broker starts again after each connection. What follows is what the client says; after the end of a connection, what it says
/// on the next.
///
/// # Panics
/// When the broker did not keep what it promises.
pub fn mqtt(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let connect = match choice & 3 {
        0 => &[][..],
        1 => CONNECT_3,
        _ => CONNECT_5,
    };
    let said = [connect, rest].concat();
    let mut core = Core::restored(LIMITS, Stored::default(), None);
    let mut rest = said.as_slice();
    while !rest.is_empty() {
        let mut conversation = Conversation::new(core);
        let used = conversation.listen(rest);
        core = conversation.end();
        if choice & 0x80 != 0 {
            core = core.again();
        }
        rest = rest.get(used..).filter(|_| used > 0).unwrap_or_default();
    }
}

/// One connection.
struct Conversation {
    core: Core,
    protocol: Protocol,
    online: Option<Online>,
    is_over: bool,
    leaving: Leaving,
}

struct Online {
    at: At,
    client_id: Arc<str>,
}

impl Conversation {
    fn new(core: Core) -> Self {
        let protocol = Protocol::new(PROTOCOL_LIMITS);
        Self { core, protocol, online: None, is_over: false, leaving: Leaving::default() }
    }

    /// Takes packets until the connection is over; how many bytes they are, and none when no further packet can be found.
    fn listen(&mut self, said: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = said.get(used..).filter(|rest| !rest.is_empty() && !self.is_over) {
            match frame(rest, PACKET_BYTES_MAX) {
                Frame::Part => return 0,
                Frame::TooLong => {
                    whole(&self.protocol.too_long());
                    return 0;
                }
                Frame::Malformed => {
                    whole(&self.protocol.malformed());
                    return 0;
                }
                Frame::Answer { len, .. } if !self.protocol.is_answer(rest.get(..len).unwrap_or(rest)) => {
                    whole(&self.protocol.malformed());
                    return 0;
                }
                Frame::Answer { answer, packet_id, len } => {
                    cut(rest, len);
                    used += len;
                    match &self.online {
                        Some(online) => self.core.answered(online.at, answer, packet_id),
                        None => self.is_over = true,
                    }
                }
                Frame::Other { len } => {
                    cut(rest, len);
                    used += len;
                    for input in self.protocol.take(rest.get(..len).expect("it was found there")) {
                        self.act(input);
                    }
                }
            }
            self.publish_something(used);
            self.read();
        }
        used
    }

    fn act(&mut self, input: Input) {
        if self.is_over {
            return;
        }
        let at = match (&input, &self.online) {
            (Input::Connect(connect), None) => return self.connect(connect),
            (Input::Broken(_), _) => {
                self.is_over = true;
                return;
            }
            (Input::Reply(bytes), None) => return whole(bytes),
            (input, None) => panic!("before CONNECT: {input:?}"),
            (_, Some(online)) => online.at,
        };
        let answer = match input {
            Input::Connect(_) | Input::Broken(_) => {
                self.is_over = true;
                return;
            }
            Input::Publish(publish) => self.publish(at, &publish),
            Input::Release { packet_id } => {
                self.core.forget_taken(at, packet_id);
                self.protocol.completed(packet_id)
            }
            Input::Subscribe { packet_id, wishes } => return self.subscribe(at, packet_id, &wishes),
            Input::Unsubscribe { packet_id, filters } => {
                let known: Vec<_> = filters.iter().map(|filter| self.core.unsubscribe(at, filter)).collect();
                self.protocol.unsubscribed(packet_id, &known)
            }
            Input::Disconnect { in_good_order, expiry_s } => {
                (self.leaving.in_good_order, self.leaving.expiry_s) = (in_good_order, expiry_s);
                self.is_over = true;
                return;
            }
            Input::Reply(bytes) => bytes,
        };
        whole(&answer);
        self.core.reply(at, &answer);
    }

    fn connect(&mut self, request: &ConnectRequest) {
        if request.client_id.len() > 10 || request.has_method {
            whole(&self.protocol.refuse(ConnectRefusal::ClientId));
            self.is_over = true;
            return;
        }
        let client_id: Arc<str> = request.client_id.as_str().into();
        let will = request.will.as_ref().map(|will| Will {
            publication: will.message.publication(),
            delay_s: will.delay_s,
            expiry_s: will.message.expiry_s,
        });
        let connected = self.core.connect(Newcomer {
            client_id: Arc::clone(&client_id),
            user: request.user.as_deref().unwrap_or("ana").into(),
            clean: request.clean,
            expiry_s: request.expiry_s,
            will,
            capacity: Capacity {
                v5: request.v5,
                window_max: request.receive_max.clamp(1, WINDOW_MAX),
                packet_bytes_max: request.packet_bytes_max,
                out_bytes_max: OUT_BYTES_MAX,
            },
        });
        let Ok(connected) = connected else {
            whole(&self.protocol.refuse(ConnectRefusal::Quota));
            self.is_over = true;
            return;
        };
        let accepted = Accepted {
            present: connected.present,
            assigned: client_id.is_empty().then_some("auto"),
            expiry_s: (connected.expiry_s != request.expiry_s).then_some(connected.expiry_s),
            received: connected.received,
        };
        whole(&self.protocol.accept(accepted));
        self.online = Some(Online { at: connected.at, client_id });
    }

    fn publish(&mut self, at: At, publish: &PublishRequest) -> Vec<u8> {
        let allowed = !publish.topic.starts_with("denied");
        if allowed {
            if publish.qos == 2 {
                self.core.note_taken(at, publish.packet_id);
            }
            let expires_s = publish.expiry_s.map(|expiry_s| self.core.now_s + u64::from(expiry_s));
            self.core.publish(Publication { expires_s, origin: at.serial, ..publish.publication() });
            self.core.flush();
        }
        self.protocol.published(publish, allowed)
    }

    fn subscribe(&mut self, at: At, packet_id: u16, wishes: &[(String, Wish)]) {
        let mut granted = Vec::new();
        let mut retained = Vec::new();
        for (filter, wish) in wishes {
            granted.push(match self.core.subscribe(at, filter, *wish) {
                _ if filter.starts_with("denied") => Err(SubscribeRefusal::NotAuthorized),
                Ok(with_retained) => {
                    retained.extend(with_retained.then_some((filter, *wish)));
                    Ok(wish.qos)
                }
                Err(refused) => Err(SubscribeRefusal::Core(refused)),
            });
        }
        let answer = self.protocol.subscribed(packet_id, &granted);
        whole(&answer);
        self.core.reply(at, &answer);
        for (filter, wish) in retained {
            self.core.send_retained(at, filter, wish);
        }
    }

    /// What others publish meanwhile: of every QoS, so that the client has something to acknowledge.
    fn publish_something(&mut self, number: usize) {
        self.core.now_s += 1;
        let qos = [0, 1, 2].get(number % 3).copied().unwrap_or(0);
        let text = Bytes::from(number.to_string());
        let lane = if number.is_multiple_of(2) { Lane::Readings } else { Lane::Others };
        self.core.publish(Publication { qos, lane, ..Publication::new("a/b".into(), text) });
        self.core.flush();
        for (_, will) in self.core.sweep() {
            self.core.publish(will.publication);
        }
        self.core.flush();
    }

    /// Reads all that lies ready for the client.
    fn read(&mut self) {
        let Some(online) = &self.online else { return };
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let turn = self.core.turn(online.at, &online.client_id, &mut buffer, Waker::noop());
            whole(&buffer);
            // Each packet of the client was answered, and the last that found room may be long.
            assert!(buffer.len() <= OUT_BYTES_MAX + 8 * PACKET_BYTES_MAX, "{} bytes wait", buffer.len());
            match turn {
                Turn::End(_) => {
                    self.is_over = true;
                    return;
                }
                Turn::Write { more: false, .. } if buffer.is_empty() => return,
                Turn::Write { .. } => {}
            }
        }
    }

    /// Ends the connection.
    fn end(self) -> Core {
        let Self { mut core, online, leaving, .. } = self;
        if let Some(online) = online
            && let Some(will) = core.leave(online.at, leaving)
        {
            core.publish(will.publication);
            core.flush();
        }
        core.check();
        core
    }
}

impl Core {
    /// What it keeps is bounded.
    fn check(&mut self) {
        assert!(self.retained("#").count() <= LIMITS.retained_max);
        let changes = self.take_changes();
        // All of the log again, and not what is new in it.
        self.give_back(changes);
        let changes = self.take_changes();
        for log in changes.log.each() {
            assert!(log.new.len() <= LIMITS.log.messages_max);
        }
        for session in &changes.sessions {
            assert!(session.subscriptions.len() <= LIMITS.subscriptions_max);
            assert!(session.window.len() <= usize::from(WINDOW_MAX));
            assert!(session.direct.len() <= LIMITS.direct_max.max(LIMITS.retained_max));
        }
        self.give_back(changes);
    }

    /// Started again on what was stored.
    fn again(mut self) -> Self {
        let retained = self.retained("#").map(|kept| Publication::clone(kept)).collect();
        let mut changes = self.take_changes();
        let PerLane { readings, others } = std::mem::take(&mut changes.log);
        let [readings, others] = [readings, others].map(|log| {
            log.new.into_iter().map(|(at, kept)| (at, Publication::clone(&kept))).collect::<Vec<_>>()
        });
        let log = PerLane { readings, others };
        let Changes { sessions, log_end, now_s, next_number, .. } = changes;
        let stored = Stored { retained, sessions, log, log_end, now_s, next_number, published: None };
        Self::restored(LIMITS, stored, None)
    }
}

/// A packet that is cut is not taken for another.
fn cut(bytes: &[u8], len: usize) {
    for at in (0..len.min(CUTS_MAX)).chain([len - 1]) {
        assert_eq!(
            frame(bytes.get(..at).unwrap_or(bytes), PACKET_BYTES_MAX),
            Frame::Part,
            "cut at {at} of {len}"
        );
    }
}

/// What goes to a client is packets, to their last byte, of the kinds that a server sends.
fn whole(mut bytes: &[u8]) {
    while let Some(first) = bytes.first() {
        assert!(matches!(first >> 4, 2..=7 | 9 | 11 | 13 | 14), "no packet of a server: {bytes:?}");
        let (Frame::Other { len } | Frame::Answer { len, .. }) = frame(bytes, usize::MAX) else {
            panic!("not whole packets: {bytes:?}")
        };
        bytes = bytes.get(len..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::conversation;

    #[test]
    fn whole_conversations_hold_and_each_of_their_bytes_may_be_another() {
        for v5 in [false, true] {
            let said = conversation(v5).concat();
            for choice in [0, 0x80] {
                let input = [&[choice], said.as_slice(), said.as_slice()].concat();
                mqtt(&input);
                for at in 1..input.len() {
                    for flip in [0x01, 0x80] {
                        let mut input = input.clone();
                        input[at] ^= flip;
                        mqtt(&input);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "not whole packets")]
    fn half_a_packet_is_a_finding() {
        whole(&[0x40, 2, 0]);
    }
}
