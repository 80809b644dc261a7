//! What clients say and what they are answered, but for the hot path (`wire`): the only module that names the protocol's crate,
//! which judges packets, knows topic aliases and both versions. What the crate lets through against the standard is refused
//! here. Its store of outgoing messages is not used: it counts wrongly when a session is resumed.

mod judge;
mod request;

use std::borrow::Cow;
use std::collections::HashSet;

use mqtt_protocol_core::mqtt;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, GenericPacketTrait, Packet, Property, ReceiveMaximum, SessionExpiryInterval,
    TopicAliasMaximum, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    PubcompReasonCode, PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

use self::judge::Fault;
pub(crate) use self::request::{ConnectRequest, PublishRequest, WillRequest};
use crate::core::session::End;
use crate::core::turn::{Refused, Wish};
use crate::wire;

/// What a client said.
#[derive(Debug)]
pub(crate) enum Input {
    Connect(Box<ConnectRequest>),
    Publish(Box<PublishRequest>),
    /// It released a QoS 2 publication.
    Release {
        packet_id: u16,
    },
    Subscribe {
        packet_id: u16,
        wishes: Vec<(String, Wish)>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    Disconnect {
        in_good_order: bool,
        expiry_s: Option<u32>,
    },
    /// It is answered with these bytes at once.
    Reply(Vec<u8>),
    /// Its connection is to end.
    Broken(String),
}

/// Why a connection is refused in CONNACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectRefusal {
    Credentials,
    NotAuthorized,
    Busy,
    Quota,
    ClientId,
    WillTopic,
    Method,
    Stopping,
}

/// What CONNACK tells of a connection that was let in.
#[derive(Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) present: bool,
    /// The client id that the broker chose.
    pub(crate) assigned: Option<&'a str>,
    /// The session's expiry, when it is not what the client asked for.
    pub(crate) expiry_s: Option<u32>,
    pub(crate) received: HashSet<u16>,
}

/// What a client may do at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProtocolLimits {
    pub(crate) packet_bytes_max: u32,
    pub(crate) publishes_max: u16,
    pub(crate) aliases_max: u16,
}

/// See the module.
pub(crate) struct Protocol {
    connection: mqtt::Connection<mqtt::role::Server>,
    limits: ProtocolLimits,
    v5: bool,
    is_connected: bool,
}

impl Protocol {
    pub(crate) fn new(limits: ProtocolLimits) -> Self {
        let options = ConnectionOptions::new().maximum_packet_size_recv(limits.packet_bytes_max);
        let options = options.receive_maximum(limits.publishes_max);
        let mut connection = mqtt::Connection::with_options(mqtt::Version::Undetermined, options);
        connection.set_auto_ping_response(true);
        Self { connection, limits, v5: false, is_connected: false }
    }

    /// Takes one whole packet.
    pub(crate) fn take(&mut self, packet: &[u8]) -> Vec<Input> {
        if !self.is_connected
            && let Err(input) = judge::connect(packet)
        {
            return input;
        }
        if self.v5 && judge::has_alias_zero(packet) {
            let mut inputs = Vec::from_iter(reply(self.disconnect(DisconnectReasonCode::TopicAliasInvalid)));
            inputs.push(Input::Broken("a topic alias is zero".to_owned()));
            return inputs;
        }
        let packet = if self.is_connected { Cow::Borrowed(packet) } else { judge::with_aliases(packet) };
        let events = self.connection.recv(&mut Cursor::new(&packet));
        let mut inputs = Vec::new();
        let mut broken = None;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => match self.received(packet) {
                    Ok(input) => inputs.extend(input),
                    Err((code, why)) => {
                        inputs.extend(reply(self.disconnect(code)));
                        broken = Some(why.to_owned());
                    }
                },
                Event::RequestSendPacket { packet, .. } => {
                    inputs.push(Input::Reply(packet.to_continuous_buffer()))
                }
                Event::NotifyError(error) => {
                    if inputs.is_empty() {
                        inputs.extend(reply(self.disconnect(code_of(error))));
                    }
                    broken = Some(format!("{error:?}"));
                }
                Event::RequestClose => {
                    broken.get_or_insert_with(|| "the protocol was broken".to_owned());
                }
                // Keep alive is the connection's task's.
                Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_)
                | Event::NotifyPacketIdReleased(_) => {}
            }
        }
        inputs.extend(broken.map(Input::Broken));
        inputs
    }

    /// Whether a whole PUBACK, PUBREC or PUBCOMP is as its version wants. Nearly all end behind the packet identifier.
    pub(crate) fn is_answer(&self, packet: &[u8]) -> bool {
        if packet.len() == 4 {
            return true;
        }
        let body = wire::variable(packet, 1).and_then(|(_, at)| packet.get(at..)).filter(|_| self.v5);
        let (Some(kind), Some(body)) = (packet.first(), body) else { return false };
        let used = match kind {
            0x40 => v5_0::Puback::parse(body).map(|(_, used)| used),
            0x50 => v5_0::Pubrec::parse(body).map(|(_, used)| used),
            _ => v5_0::Pubcomp::parse(body).map(|(_, used)| used),
        };
        used == Ok(body.len())
    }

    fn received(&mut self, packet: Packet) -> Result<Option<Input>, Fault> {
        let input = match packet {
            Packet::V3_1_1Connect(connect) => Input::Connect(Box::new(ConnectRequest::of_3(&connect))),
            Packet::V5_0Connect(connect) => {
                judge::properties(connect.will_props())?;
                self.v5 = true;
                Input::Connect(Box::new(ConnectRequest::of_5(&connect)))
            }
            Packet::V3_1_1Publish(publish) => Input::Publish(Box::new(PublishRequest::of_3(&publish))),
            Packet::V5_0Publish(publish) => {
                judge::properties(publish.props())?;
                Input::Publish(Box::new(PublishRequest::of_5(&publish)))
            }
            Packet::V3_1_1Pubrel(release) => Input::Release { packet_id: release.packet_id() },
            Packet::V5_0Pubrel(release) => Input::Release { packet_id: release.packet_id() },
            Packet::V3_1_1Subscribe(subscribe) => Input::Subscribe {
                packet_id: subscribe.packet_id(),
                wishes: request::wishes(subscribe.entries(), 0),
            },
            Packet::V5_0Subscribe(subscribe) => {
                let id = judge::subscription_id(subscribe.props())?;
                Input::Subscribe {
                    packet_id: subscribe.packet_id(),
                    wishes: request::wishes(subscribe.entries(), id),
                }
            }
            Packet::V3_1_1Unsubscribe(unsubscribe) => {
                let filters = unsubscribe.entries().iter().map(|filter| filter.as_str().to_owned());
                Input::Unsubscribe { packet_id: unsubscribe.packet_id(), filters: filters.collect() }
            }
            Packet::V5_0Unsubscribe(unsubscribe) => {
                let filters = unsubscribe.entries().iter().map(|filter| filter.as_str().to_owned());
                Input::Unsubscribe { packet_id: unsubscribe.packet_id(), filters: filters.collect() }
            }
            Packet::V3_1_1Disconnect(_) => Input::Disconnect { in_good_order: true, expiry_s: None },
            Packet::V5_0Disconnect(disconnect) => request::disconnect(&disconnect),
            Packet::V5_0Auth(_) => {
                return Err((DisconnectReasonCode::ProtocolError, "AUTH without an authentication method"));
            }
            _ => return Ok(None),
        };
        match judge::input(&input, self.v5) {
            Some(fault) => Err(fault),
            None => Ok(Some(input)),
        }
    }

    /// The bytes of a packet; none when the crate does not take it.
    fn send(&mut self, packet: Result<impl Into<Packet>, MqttError>) -> Vec<u8> {
        let Ok(packet) = packet else { return Vec::new() };
        let events = self.connection.send(packet.into());
        let packets = events.into_iter().filter_map(|event| match event {
            Event::RequestSendPacket { packet, .. } => Some(packet.to_continuous_buffer()),
            _ => None,
        });
        packets.flatten().collect()
    }

    /// CONNACK for who is let in.
    pub(crate) fn accept(&mut self, accepted: Accepted<'_>) -> Vec<u8> {
        self.is_connected = true;
        let bytes = if self.v5 {
            let mut properties: Vec<Property> = Vec::new();
            properties.extend(TopicAliasMaximum::new(self.limits.aliases_max).map(Into::into));
            properties.extend(ReceiveMaximum::new(self.limits.publishes_max).map(Into::into));
            let expiry = accepted.expiry_s.and_then(|expiry_s| SessionExpiryInterval::new(expiry_s).ok());
            properties.extend(expiry.map(Into::into));
            let assigned = accepted.assigned.and_then(|id| AssignedClientIdentifier::new(id).ok());
            properties.extend(assigned.map(Into::into));
            let connack = v5_0::Connack::builder().session_present(accepted.present);
            let connack = connack.reason_code(ConnectReasonCode::Success).props(properties).build();
            self.send(connack)
        } else {
            let connack = v3_1_1::Connack::builder().session_present(accepted.present);
            let connack = connack.return_code(ConnectReturnCode::Accepted).build();
            self.send(connack)
        };
        // Zero is none, and a PUBREC of it would panic in the crate.
        let received = accepted.received.into_iter().filter(|packet_id| *packet_id > 0);
        self.connection.restore_qos2_publish_handled(received.collect());
        bytes
    }

    /// CONNACK for who is not.
    pub(crate) fn refuse(&mut self, refusal: ConnectRefusal) -> Vec<u8> {
        use ConnectRefusal::{
            Busy, ClientId, Credentials, Method, NotAuthorized, Quota, Stopping, WillTopic,
        };
        if self.v5 {
            let code = match refusal {
                Credentials => ConnectReasonCode::BadUserNameOrPassword,
                NotAuthorized => ConnectReasonCode::NotAuthorized,
                Busy => ConnectReasonCode::ServerBusy,
                Stopping => ConnectReasonCode::ServerUnavailable,
                Quota => ConnectReasonCode::QuotaExceeded,
                ClientId => ConnectReasonCode::ClientIdentifierNotValid,
                WillTopic => ConnectReasonCode::TopicNameInvalid,
                Method => ConnectReasonCode::BadAuthenticationMethod,
            };
            let connack = v5_0::Connack::builder().session_present(false).reason_code(code).build();
            return self.send(connack);
        }
        let code = match refusal {
            Credentials => ConnectReturnCode::BadUserNameOrPassword,
            NotAuthorized | WillTopic | Method => ConnectReturnCode::NotAuthorized,
            ClientId => ConnectReturnCode::IdentifierRejected,
            Busy | Quota | Stopping => ConnectReturnCode::ServerUnavailable,
        };
        let connack = v3_1_1::Connack::builder().session_present(false).return_code(code).build();
        self.send(connack)
    }

    /// SUBACK, with what became of each filter.
    pub(crate) fn subscribed(&mut self, packet_id: u16, granted: &[Result<u8, SubscribeRefusal>]) -> Vec<u8> {
        if self.v5 {
            let code = |granted: &Result<u8, SubscribeRefusal>| match granted {
                Ok(0) => SubackReasonCode::GrantedQos0,
                Ok(1) => SubackReasonCode::GrantedQos1,
                Ok(_) => SubackReasonCode::GrantedQos2,
                Err(SubscribeRefusal::NotAuthorized) => SubackReasonCode::NotAuthorized,
                Err(SubscribeRefusal::Core(Refused::NotAFilter)) => SubackReasonCode::TopicFilterInvalid,
                Err(SubscribeRefusal::Core(Refused::TooMany)) => SubackReasonCode::QuotaExceeded,
                Err(SubscribeRefusal::Core(Refused::Gone)) => SubackReasonCode::UnspecifiedError,
            };
            let codes = granted.iter().map(code).collect();
            let suback = v5_0::Suback::builder().packet_id(packet_id).reason_codes(codes).build();
            return self.send(suback);
        }
        let code = |granted: &Result<u8, SubscribeRefusal>| match granted {
            Ok(0) => SubackReturnCode::SuccessMaximumQos0,
            Ok(1) => SubackReturnCode::SuccessMaximumQos1,
            Ok(_) => SubackReturnCode::SuccessMaximumQos2,
            Err(_) => SubackReturnCode::Failure,
        };
        let codes = granted.iter().map(code).collect();
        let suback = v3_1_1::Suback::builder().packet_id(packet_id).return_codes(codes).build();
        self.send(suback)
    }

    /// UNSUBACK; `known`: whether there was each subscription.
    pub(crate) fn unsubscribed(&mut self, packet_id: u16, known: &[bool]) -> Vec<u8> {
        if self.v5 {
            let code = |known: &bool| {
                if *known { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted }
            };
            let codes = known.iter().map(code).collect();
            let unsuback = v5_0::Unsuback::builder().packet_id(packet_id).reason_codes(codes).build();
            return self.send(unsuback);
        }
        let unsuback = v3_1_1::Unsuback::builder().packet_id(packet_id).build();
        self.send(unsuback)
    }

    /// PUBACK or PUBREC. Version 3.1.1 has no way to say that a message was refused.
    pub(crate) fn published(&mut self, publish: &PublishRequest, allowed: bool) -> Vec<u8> {
        let packet_id = publish.packet_id;
        match (publish.qos, self.v5) {
            (0, _) => Vec::new(),
            (1, false) => {
                let puback = v3_1_1::Puback::builder().packet_id(packet_id).build();
                self.send(puback)
            }
            (1, true) => {
                let mut puback = v5_0::Puback::builder().packet_id(packet_id);
                if !allowed {
                    puback = puback.reason_code(PubackReasonCode::NotAuthorized);
                }
                self.send(puback.build())
            }
            (_, false) => {
                let pubrec = v3_1_1::Pubrec::builder().packet_id(packet_id).build();
                self.send(pubrec)
            }
            (_, true) => {
                let mut pubrec = v5_0::Pubrec::builder().packet_id(packet_id);
                if !allowed {
                    pubrec = pubrec.reason_code(PubrecReasonCode::NotAuthorized);
                }
                self.send(pubrec.build())
            }
        }
    }

    /// PUBCOMP.
    pub(crate) fn completed(&mut self, packet_id: u16) -> Vec<u8> {
        if self.v5 {
            let pubcomp =
                v5_0::Pubcomp::builder().packet_id(packet_id).reason_code(PubcompReasonCode::Success);
            return self.send(pubcomp.build());
        }
        let pubcomp = v3_1_1::Pubcomp::builder().packet_id(packet_id).build();
        self.send(pubcomp)
    }

    /// DISCONNECT with the reason why the connection ends.
    pub(crate) fn ended(&mut self, end: End) -> Vec<u8> {
        let code = match end {
            End::TakenOver => DisconnectReasonCode::SessionTakenOver,
            End::Removed => DisconnectReasonCode::AdministrativeAction,
            End::Stopping => DisconnectReasonCode::ServerShuttingDown,
        };
        self.disconnect(code)
    }

    /// DISCONNECT for who said nothing for too long.
    pub(crate) fn silent(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::KeepAliveTimeout)
    }

    /// DISCONNECT for a packet that is longer than may be.
    pub(crate) fn too_long(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::PacketTooLarge)
    }

    /// DISCONNECT for bytes that are no packet.
    pub(crate) fn malformed(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::MalformedPacket)
    }

    /// DISCONNECT for what no client may do.
    pub(crate) fn out_of_order(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::ProtocolError)
    }

    /// DISCONNECT, where the client knows it from a server: in MQTT 5, and once it is connected.
    fn disconnect(&mut self, code: DisconnectReasonCode) -> Vec<u8> {
        if !self.v5 || !self.is_connected {
            return Vec::new();
        }
        self.send(v5_0::Disconnect::builder().reason_code(code).build())
    }
}

/// Why a subscription is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscribeRefusal {
    NotAuthorized,
    Core(Refused),
}

fn reply(bytes: Vec<u8>) -> Option<Input> {
    (!bytes.is_empty()).then_some(Input::Reply(bytes))
}

fn code_of(error: MqttError) -> DisconnectReasonCode {
    let code = error as u16;
    u8::try_from(code)
        .ok()
        .and_then(|code| DisconnectReasonCode::try_from(code).ok())
        .unwrap_or(DisconnectReasonCode::ProtocolError)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{Frame, frame};

    const LIMITS: ProtocolLimits =
        ProtocolLimits { packet_bytes_max: 1 << 12, publishes_max: 10, aliases_max: 4 };

    /// A packet: its first byte, and what follows the length. These are short.
    fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        [&[first, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
    }

    /// What a client says from CONNECT to DISCONNECT, packet by packet.
    pub(crate) fn conversation(v5: bool) -> Vec<Vec<u8>> {
        // No properties, where version 5 has them.
        let none: &[u8] = if v5 { &[0] } else { &[] };
        let [connect, will, publish, subscribe]: [&[u8]; 4] = if v5 {
            // Session expiry and receive maximum; will delay; alias, expiry, response topic and a user property; identifier.
            [
                b"\x08\x11\0\0\0\x3c\x21\0\x05",
                b"\x05\x18\0\0\0\x09",
                b"\x15\x23\0\x01\x02\0\0\0\x3c\x08\0\x03r/s\x26\0\x01k\0\x01v",
                b"\x02\x0b\x07",
            ]
        } else {
            [b"", b"", b"", b""]
        };
        let level = if v5 { 5 } else { 4 };
        vec![
            packet(
                0x10,
                &[
                    &b"\0\x04MQTT"[..],
                    &[level, 0xee],
                    b"\0\x3c",
                    connect,
                    b"\0\x02me",
                    will,
                    b"\0\x03w/x\0\x04gone\0\x03ana\0\x06secret",
                ],
            ),
            packet(0x82, &[b"\0\x01", subscribe, b"\0\x03a/#\x02\0\x03b/+\x01"]),
            packet(0x30, &[b"\0\x03a/b", publish, b"at most once"]),
            packet(0x33, &[b"\0\x03a/b\0\x02", none, b"at least once"]),
            packet(0x34, &[b"\0\x03a/b\0\x03", none, b"exactly once"]),
            packet(0x62, &[b"\0\x03"]),
            packet(0x40, &[b"\0\x01"]),
            packet(0x50, &[b"\0\x02"]),
            packet(0x70, &[b"\0\x02"]),
            packet(0xc0, &[]),
            packet(0xa2, &[b"\0\x04", none, b"\0\x03a/#"]),
            packet(0xe0, &[]),
        ]
    }

    /// What it took of these bytes, as the connection's task does; and how many of them.
    fn take(bytes: &[u8]) -> (Vec<Input>, usize) {
        let mut protocol = Protocol::new(LIMITS);
        let (mut inputs, mut used) = (Vec::new(), 0);
        loop {
            match frame(&bytes[used..], 1 << 12) {
                Frame::Answer { len, .. } => used += len,
                Frame::Other { len } => {
                    for input in protocol.take(&bytes[used..used + len]) {
                        let is_broken = matches!(input, Input::Broken(_) | Input::Disconnect { .. });
                        let is_connect = matches!(input, Input::Connect(_));
                        inputs.push(input);
                        if is_broken {
                            return (inputs, used + len);
                        }
                        if is_connect {
                            let received = HashSet::new();
                            protocol.accept(Accepted {
                                present: false,
                                assigned: None,
                                expiry_s: None,
                                received,
                            });
                        }
                    }
                    used += len;
                }
                Frame::Part | Frame::TooLong | Frame::Malformed => return (inputs, used),
            }
        }
    }

    fn names(inputs: &[Input]) -> Vec<String> {
        let name = |input| format!("{input:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
        inputs.iter().map(name).collect()
    }

    /// What each packet of the conversation becomes; nothing where `wire` takes it.
    const WANTED: [&str; 12] = [
        "Connect",
        "Subscribe",
        "Publish",
        "Publish",
        "Publish",
        "Release",
        "",
        "",
        "",
        "Reply",
        "Unsubscribe",
        "Disconnect",
    ];

    #[test]
    fn a_conversation_that_is_cut_gives_its_whole_packets_and_no_more() {
        for v5 in [false, true] {
            let packets = conversation(v5);
            let said = packets.concat();
            for cut in 0..=said.len() {
                let (mut whole, mut wanted) = (0, Vec::new());
                for (packet, name) in packets.iter().zip(WANTED) {
                    if whole + packet.len() > cut {
                        break;
                    }
                    whole += packet.len();
                    wanted.extend(Some(name).filter(|name| !name.is_empty()));
                }
                let (inputs, used) = take(&said[..cut]);
                assert_eq!(
                    (names(&inputs), used),
                    (wanted.into_iter().map(str::to_owned).collect(), whole),
                    "{v5} {cut}"
                );
            }
        }
    }

    #[test]
    fn a_conversation_with_any_other_byte_ends_in_order_or_goes_on() {
        for v5 in [false, true] {
            let said = conversation(v5).concat();
            for at in 0..said.len() {
                for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                    let mut said = said.clone();
                    said[at] ^= flip;
                    let (inputs, used) = take(&said);
                    assert!(used <= said.len());
                    // No more than a packet gives: an answer, and why it ends.
                    assert!(inputs.len() <= WANTED.len() + 2, "{v5} {at} {flip}: {inputs:?}");
                }
            }
        }
    }

    #[test]
    fn a_conversation_says_what_it_says() {
        for v5 in [false, true] {
            let (inputs, _) = take(&conversation(v5).concat());
            let Input::Connect(connect) = &inputs[0] else { panic!("{inputs:?}") };
            assert_eq!((connect.v5, connect.client_id.as_str(), connect.clean), (v5, "me", true));
            assert_eq!(connect.password.as_ref().unwrap().as_slice(), b"secret");
            let will = connect.will.as_ref().unwrap();
            assert_eq!(
                (will.message.topic.as_str(), will.message.qos, will.message.retain),
                ("w/x", 1, true)
            );
            let Input::Publish(publish) = &inputs[2] else { panic!("{inputs:?}") };
            assert_eq!((publish.topic.as_str(), &publish.payload[..]), ("a/b", &b"at most once"[..]));
            let properties: &[u8] = if v5 { b"\x08\0\x03r/s\x26\0\x01k\0\x01v" } else { b"" };
            assert_eq!((&publish.properties[..], publish.expiry_s), (properties, v5.then_some(60)));
            if v5 {
                assert_eq!((connect.expiry_s, connect.receive_max, will.delay_s), (60, 5, 9));
            }
        }
    }
}
