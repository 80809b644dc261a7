//! What clients say and what they are answered, but for the hot path (`wire`): the only module that names the protocol's crate,
//! which judges packets, knows topic aliases and both versions. What the crate lets through against the standard is refused
//! here. Its store of outgoing messages is not used: it counts wrongly when a session is resumed.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use mqtt_protocol_core::mqtt;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, GenericPacketTrait, Packet, Property, Qos, ReceiveMaximum,
    RetainHandling as Handling, SessionExpiryInterval, SubEntry, TopicAliasMaximum, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    PubcompReasonCode, PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};
use zeroize::Zeroizing;

use crate::core::filters::{is_topic, parts};
use crate::core::session::End;
use crate::core::turn::{Refused, RetainHandling, Wish};

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

/// CONNECT.
#[derive(Debug)]
pub(crate) struct ConnectRequest {
    pub(crate) v5: bool,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Zeroizing<Vec<u8>>>,
    pub(crate) will: Option<WillRequest>,
    pub(crate) expiry_s: u32,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: usize,
    /// It wants another way to authenticate (MQTT 5 §4.12), which there is not.
    pub(crate) has_method: bool,
}

/// A will in CONNECT.
#[derive(Debug)]
pub(crate) struct WillRequest {
    pub(crate) message: PublishRequest,
    pub(crate) delay_s: u32,
}

/// PUBLISH.
#[derive(Debug)]
pub(crate) struct PublishRequest {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Zero at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) properties: Bytes,
    pub(crate) expiry_s: Option<u32>,
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

const ZERO_ID: &str = "a packet identifier is zero";
const INVALID_TOPIC: &str = "a topic name has wildcards, NUL or no character";

/// MQTT 5 §1.5.4.
const NUL_IN_A_TEXT: &str = "a text has the character NUL";

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
            && let Err(input) = judge_connect(packet)
        {
            return input;
        }
        let packet = if self.is_connected { Cow::Borrowed(packet) } else { with_aliases(packet) };
        let events = self.connection.recv(&mut Cursor::new(&packet));
        let mut inputs = Vec::new();
        let mut broken = None;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => match self.received(packet) {
                    Ok(input) => inputs.extend(input),
                    Err((code, why)) => {
                        inputs.extend(self.disconnect(code).map(Input::Reply));
                        broken = Some(why.to_owned());
                    }
                },
                Event::RequestSendPacket { packet, .. } => {
                    inputs.push(Input::Reply(packet.to_continuous_buffer()))
                }
                Event::NotifyError(error) => {
                    if inputs.is_empty() {
                        inputs.extend(self.disconnect(code_of(error)).map(Input::Reply));
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
        let body = variable(packet, 1).and_then(|(_, at)| packet.get(at..)).filter(|_| self.v5);
        let (Some(kind), Some(body)) = (packet.first(), body) else { return false };
        let used = match kind {
            0x40 => v5_0::Puback::parse(body).map(|(_, used)| used),
            0x50 => v5_0::Pubrec::parse(body).map(|(_, used)| used),
            _ => v5_0::Pubcomp::parse(body).map(|(_, used)| used),
        };
        used == Ok(body.len())
    }

    fn received(&mut self, packet: Packet) -> Result<Option<Input>, (DisconnectReasonCode, &'static str)> {
        let input = match packet {
            Packet::V3_1_1Connect(connect) => Input::Connect(Box::new(connect_3(&connect))),
            Packet::V5_0Connect(connect) => {
                judge_properties(connect.will_props())?;
                self.v5 = true;
                Input::Connect(Box::new(connect_5(&connect)))
            }
            Packet::V3_1_1Publish(publish) => Input::Publish(Box::new(publish_3(&publish))),
            Packet::V5_0Publish(publish) => {
                judge_properties(publish.props())?;
                Input::Publish(Box::new(publish_5(&publish)))
            }
            Packet::V3_1_1Pubrel(release) => Input::Release { packet_id: release.packet_id() },
            Packet::V5_0Pubrel(release) => Input::Release { packet_id: release.packet_id() },
            Packet::V3_1_1Subscribe(subscribe) => {
                Input::Subscribe { packet_id: subscribe.packet_id(), wishes: wishes(subscribe.entries(), 0) }
            }
            Packet::V5_0Subscribe(subscribe) => {
                let id = subscription_id(subscribe.props())?;
                Input::Subscribe { packet_id: subscribe.packet_id(), wishes: wishes(subscribe.entries(), id) }
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
            Packet::V5_0Disconnect(disconnect) => disconnect_5(&disconnect),
            Packet::V5_0Auth(_) => {
                return Err((DisconnectReasonCode::ProtocolError, "AUTH without an authentication method"));
            }
            _ => return Ok(None),
        };
        match judge(&input, self.v5) {
            Some(fault) => Err(fault),
            None => Ok(Some(input)),
        }
    }

    fn send(&mut self, packet: impl Into<Packet>) -> Vec<u8> {
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
            connack.map(|connack| self.send(connack))
        } else {
            let connack = v3_1_1::Connack::builder().session_present(accepted.present);
            let connack = connack.return_code(ConnectReturnCode::Accepted).build();
            connack.map(|connack| self.send(connack))
        };
        // Zero is none, and a PUBREC of it would panic in the crate.
        let received = accepted.received.into_iter().filter(|packet_id| *packet_id > 0);
        self.connection.restore_qos2_publish_handled(received.collect());
        bytes.unwrap_or_default()
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
            return connack.map(|connack| self.send(connack)).unwrap_or_default();
        }
        let code = match refusal {
            Credentials => ConnectReturnCode::BadUserNameOrPassword,
            NotAuthorized | WillTopic | Method => ConnectReturnCode::NotAuthorized,
            ClientId => ConnectReturnCode::IdentifierRejected,
            Busy | Quota | Stopping => ConnectReturnCode::ServerUnavailable,
        };
        let connack = v3_1_1::Connack::builder().session_present(false).return_code(code).build();
        connack.map(|connack| self.send(connack)).unwrap_or_default()
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
            return suback.map(|suback| self.send(suback)).unwrap_or_default();
        }
        let code = |granted: &Result<u8, SubscribeRefusal>| match granted {
            Ok(0) => SubackReturnCode::SuccessMaximumQos0,
            Ok(1) => SubackReturnCode::SuccessMaximumQos1,
            Ok(_) => SubackReturnCode::SuccessMaximumQos2,
            Err(_) => SubackReturnCode::Failure,
        };
        let codes = granted.iter().map(code).collect();
        let suback = v3_1_1::Suback::builder().packet_id(packet_id).return_codes(codes).build();
        suback.map(|suback| self.send(suback)).unwrap_or_default()
    }

    /// UNSUBACK; `known`: whether there was each subscription.
    pub(crate) fn unsubscribed(&mut self, packet_id: u16, known: &[bool]) -> Vec<u8> {
        if self.v5 {
            let code = |known: &bool| {
                if *known { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted }
            };
            let codes = known.iter().map(code).collect();
            let unsuback = v5_0::Unsuback::builder().packet_id(packet_id).reason_codes(codes).build();
            return unsuback.map(|unsuback| self.send(unsuback)).unwrap_or_default();
        }
        let unsuback = v3_1_1::Unsuback::builder().packet_id(packet_id).build();
        unsuback.map(|unsuback| self.send(unsuback)).unwrap_or_default()
    }

    /// PUBACK or PUBREC. Version 3.1.1 has no way to say that a message was refused.
    pub(crate) fn published(&mut self, publish: &PublishRequest, allowed: bool) -> Vec<u8> {
        let packet_id = publish.packet_id;
        match (publish.qos, self.v5) {
            (0, _) => Vec::new(),
            (1, false) => {
                let puback = v3_1_1::Puback::builder().packet_id(packet_id).build();
                puback.map(|puback| self.send(puback)).unwrap_or_default()
            }
            (1, true) => {
                let mut puback = v5_0::Puback::builder().packet_id(packet_id);
                if !allowed {
                    puback = puback.reason_code(PubackReasonCode::NotAuthorized);
                }
                puback.build().map(|puback| self.send(puback)).unwrap_or_default()
            }
            (_, false) => {
                let pubrec = v3_1_1::Pubrec::builder().packet_id(packet_id).build();
                pubrec.map(|pubrec| self.send(pubrec)).unwrap_or_default()
            }
            (_, true) => {
                let mut pubrec = v5_0::Pubrec::builder().packet_id(packet_id);
                if !allowed {
                    pubrec = pubrec.reason_code(PubrecReasonCode::NotAuthorized);
                }
                pubrec.build().map(|pubrec| self.send(pubrec)).unwrap_or_default()
            }
        }
    }

    /// PUBCOMP.
    pub(crate) fn completed(&mut self, packet_id: u16) -> Vec<u8> {
        if self.v5 {
            let pubcomp =
                v5_0::Pubcomp::builder().packet_id(packet_id).reason_code(PubcompReasonCode::Success);
            return pubcomp.build().map(|pubcomp| self.send(pubcomp)).unwrap_or_default();
        }
        let pubcomp = v3_1_1::Pubcomp::builder().packet_id(packet_id).build();
        pubcomp.map(|pubcomp| self.send(pubcomp)).unwrap_or_default()
    }

    /// DISCONNECT with the reason why the connection ends.
    pub(crate) fn ended(&mut self, end: End) -> Vec<u8> {
        let code = match end {
            End::TakenOver => DisconnectReasonCode::SessionTakenOver,
            End::Removed => DisconnectReasonCode::AdministrativeAction,
            End::Stopping => DisconnectReasonCode::ServerShuttingDown,
        };
        self.disconnect(code).unwrap_or_default()
    }

    /// DISCONNECT for who said nothing for too long.
    pub(crate) fn silent(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::KeepAliveTimeout).unwrap_or_default()
    }

    /// DISCONNECT for a packet that is longer than may be.
    pub(crate) fn too_long(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::PacketTooLarge).unwrap_or_default()
    }

    /// DISCONNECT for bytes that are no packet.
    pub(crate) fn malformed(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::MalformedPacket).unwrap_or_default()
    }

    /// DISCONNECT for what no client may do.
    pub(crate) fn out_of_order(&mut self) -> Vec<u8> {
        self.disconnect(DisconnectReasonCode::ProtocolError).unwrap_or_default()
    }

    fn disconnect(&mut self, code: DisconnectReasonCode) -> Option<Vec<u8>> {
        if !self.v5 || !self.is_connected {
            return None;
        }
        let disconnect = v5_0::Disconnect::builder().reason_code(code).build().ok()?;
        Some(self.send(disconnect))
    }

    /// Packet ids of QoS 2 publications that were taken and not released, for the session to keep.
    pub(crate) fn received_ids(&self) -> HashSet<u16> {
        self.connection.get_qos2_publish_handled().into_iter().collect()
    }
}

/// Why a subscription is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscribeRefusal {
    NotAuthorized,
    Core(Refused),
}

/// What of CONNECT the crate does not judge: the level of other versions, and flags that must not be (MQTT 5 §3.1.2).
fn judge_connect(packet: &[u8]) -> Result<(), Vec<Input>> {
    let broken = |why: &str| Err(vec![Input::Broken(why.to_owned())]);
    if packet.first() != Some(&0x10) {
        return broken("the first packet is not CONNECT");
    }
    let length = packet.iter().skip(1).take(4).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let Some(body) = packet.get(1 + length..) else { return broken("CONNECT is cut") };
    if body.get(..6) == Some(&b"\0\x04MQTT"[..]) && body.get(6).is_some_and(|level| !matches!(level, 4 | 5)) {
        // Unacceptable protocol level, MQTT-3.1.2-2 of version 3.1.1.
        return Err(vec![
            Input::Reply(vec![0x20, 2, 0, 1]),
            Input::Broken("unknown protocol version".to_owned()),
        ]);
    }
    let Some(flags) = body.get(7) else { return broken("CONNECT is cut") };
    let (has_will, will_qos, will_retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
    if flags & 1 != 0 || will_qos == 3 || (!has_will && (will_qos != 0 || will_retain)) {
        return broken("CONNECT has flags that must not be");
    }
    Ok(())
}

/// CONNECT as the crate takes it: at a Topic Alias Maximum of zero, which the standard allows, it panics (0.7.9). One serves as
/// well, since this broker gives no topic an alias.
fn with_aliases(packet: &[u8]) -> Cow<'_, [u8]> {
    let mut packet = Cow::Borrowed(packet);
    if let Some(at) = alias_max_at(&packet)
        && packet.get(at..at + 2) == Some(&[0, 0])
        && let Some(low) = packet.to_mut().get_mut(at + 1)
    {
        *low = 1;
    }
    packet
}

/// Where the Topic Alias Maximum stands in a CONNECT of MQTT 5 (§3.1.2.11.5), if there is one.
fn alias_max_at(packet: &[u8]) -> Option<usize> {
    let (_, body) = variable(packet, 1)?;
    if packet.get(body + 6) != Some(&5) {
        return None;
    }
    // Behind the name, the version, the flags and the keep alive.
    let (len, mut at) = variable(packet, body + 10)?;
    let properties = packet.get(..at + len)?;
    let text_len = |at: usize| {
        let len = properties.get(at..at + 2)?;
        Some(len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)) + 2)
    };
    loop {
        let value = at + 1;
        at = value
            + match properties.get(at)? {
                0x11 | 0x27 => 4,
                0x21 => 2,
                0x22 => return Some(value),
                0x17 | 0x19 => 1,
                0x15 | 0x16 => text_len(value)?,
                0x26 => text_len(value)? + text_len(value + text_len(value)?)?,
                _ => return None,
            };
    }
}

/// A variable byte integer, and where what follows it begins (MQTT 5 §1.5.5).
fn variable(packet: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    for (count, byte) in packet.iter().skip(at).take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * count);
        if byte & 0x80 == 0 {
            return Some((value, at + count + 1));
        }
    }
    None
}

/// What of the other packets the crate does not judge.
fn judge(input: &Input, v5: bool) -> Option<(DisconnectReasonCode, &'static str)> {
    use DisconnectReasonCode::{MalformedPacket, ProtocolError, TopicNameInvalid};
    match input {
        Input::Publish(publish) if !is_topic(&publish.topic) => Some((TopicNameInvalid, INVALID_TOPIC)),
        Input::Publish(publish) if publish.qos > 0 && publish.packet_id == 0 => {
            Some((MalformedPacket, ZERO_ID))
        }
        Input::Release { packet_id: 0 }
        | Input::Subscribe { packet_id: 0, .. }
        | Input::Unsubscribe { packet_id: 0, .. } => Some((MalformedPacket, ZERO_ID)),
        Input::Subscribe { wishes, .. } if wishes.iter().any(|(filter, _)| filter.contains('\0')) => {
            Some((MalformedPacket, NUL_IN_A_TEXT))
        }
        Input::Unsubscribe { filters, .. } if filters.iter().any(|filter| filter.contains('\0')) => {
            Some((MalformedPacket, NUL_IN_A_TEXT))
        }
        Input::Subscribe { wishes, .. } if wishes.is_empty() => {
            Some((ProtocolError, "SUBSCRIBE without a filter"))
        }
        Input::Unsubscribe { filters, .. } if filters.is_empty() => {
            Some((ProtocolError, "UNSUBSCRIBE without a filter"))
        }
        Input::Subscribe { wishes, .. }
            if wishes.iter().any(|(filter, wish)| wish.no_local && parts(filter).0.is_some()) =>
        {
            Some((ProtocolError, "No Local on a shared subscription"))
        }
        Input::Subscribe { wishes, .. } if !v5 && wishes.iter().any(|(_, wish)| has_options_of_5(wish)) => {
            Some((MalformedPacket, "reserved bits of SUBSCRIBE are set"))
        }
        _ => None,
    }
}

fn publish_3(publish: &v3_1_1::Publish) -> PublishRequest {
    PublishRequest {
        topic: publish.topic_name().to_owned(),
        payload: Bytes::copy_from_slice(publish.payload().as_slice()),
        qos: number(publish.qos()),
        retain: publish.retain(),
        packet_id: publish.packet_id().unwrap_or(0),
        properties: Bytes::new(),
        expiry_s: None,
    }
}

fn publish_5(publish: &v5_0::Publish) -> PublishRequest {
    let (properties, expiry_s) = forwarded(publish.props());
    PublishRequest {
        topic: publish.topic_name().to_owned(),
        payload: Bytes::copy_from_slice(publish.payload().as_slice()),
        qos: number(publish.qos()),
        retain: publish.retain(),
        packet_id: publish.packet_id().unwrap_or(0),
        properties,
        expiry_s,
    }
}

fn disconnect_5(disconnect: &v5_0::Disconnect) -> Input {
    let expiry_s = disconnect.props().iter().flatten().find_map(|property| match property {
        Property::SessionExpiryInterval(expiry) => Some(expiry.val()),
        _ => None,
    });
    let reason = disconnect.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection);
    Input::Disconnect { in_good_order: reason == DisconnectReasonCode::NormalDisconnection, expiry_s }
}

fn connect_3(connect: &v3_1_1::Connect) -> ConnectRequest {
    let will = connect.will_flag().then(|| WillRequest {
        message: PublishRequest {
            topic: connect.will_topic().unwrap_or_default().to_owned(),
            payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
            qos: number(connect.will_qos()),
            retain: connect.will_retain(),
            packet_id: 0,
            properties: Bytes::new(),
            expiry_s: None,
        },
        delay_s: 0,
    });
    ConnectRequest {
        v5: false,
        client_id: connect.client_id().to_owned(),
        clean: connect.clean_session(),
        keep_alive_s: connect.keep_alive(),
        user: connect.user_name().map(str::to_owned),
        password: connect.password().map(|password| Zeroizing::new(password.to_vec())),
        will,
        expiry_s: if connect.clean_session() { 0 } else { u32::MAX },
        receive_max: u16::MAX,
        packet_bytes_max: usize::MAX,
        has_method: false,
    }
}

fn connect_5(connect: &v5_0::Connect) -> ConnectRequest {
    let will = connect.will_flag().then(|| {
        let (properties, expiry_s) = forwarded(connect.will_props());
        let delay_s = connect.will_props().iter().find_map(|property| match property {
            Property::WillDelayInterval(delay) => Some(delay.val()),
            _ => None,
        });
        WillRequest {
            message: PublishRequest {
                topic: connect.will_topic().unwrap_or_default().to_owned(),
                payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
                qos: number(connect.will_qos()),
                retain: connect.will_retain(),
                packet_id: 0,
                properties,
                expiry_s,
            },
            delay_s: delay_s.unwrap_or(0),
        }
    });
    let mut request = ConnectRequest {
        v5: true,
        client_id: connect.client_id().to_owned(),
        clean: connect.clean_start(),
        keep_alive_s: connect.keep_alive(),
        user: connect.user_name().map(str::to_owned),
        password: connect.password().map(|password| Zeroizing::new(password.to_vec())),
        will,
        expiry_s: 0,
        receive_max: u16::MAX,
        packet_bytes_max: usize::MAX,
        has_method: false,
    };
    for property in connect.props() {
        match property {
            Property::SessionExpiryInterval(expiry) => request.expiry_s = expiry.val(),
            Property::ReceiveMaximum(max) => request.receive_max = max.val(),
            Property::MaximumPacketSize(max) => request.packet_bytes_max = max.val() as usize,
            Property::AuthenticationMethod(_) | Property::AuthenticationData(_) => request.has_method = true,
            _ => {}
        }
    }
    request
}

/// What the crate lets through of the properties of a PUBLISH or a will (MQTT 5 §3.3.2.3). Subscribers would get it.
fn judge_properties(properties: &[Property]) -> Result<(), (DisconnectReasonCode, &'static str)> {
    for property in properties {
        let has_nul = match property {
            Property::SubscriptionIdentifier(_) => {
                return Err((DisconnectReasonCode::ProtocolError, "PUBLISH with a subscription identifier"));
            }
            Property::ContentType(text) => text.val().contains('\0'),
            Property::ResponseTopic(topic) if !is_topic(topic.val()) => {
                return Err((DisconnectReasonCode::ProtocolError, "the response topic is no topic"));
            }
            Property::UserProperty(pair) => pair.key().contains('\0') || pair.val().contains('\0'),
            _ => false,
        };
        if has_nul {
            return Err((DisconnectReasonCode::MalformedPacket, NUL_IN_A_TEXT));
        }
    }
    Ok(())
}

/// The properties that go on to subscribers (MQTT 5 §3.3.2.3), encoded, and the expiry.
fn forwarded(properties: &[Property]) -> (Bytes, Option<u32>) {
    let (mut encoded, mut expiry_s) = (Vec::new(), None);
    for property in properties {
        match property {
            Property::MessageExpiryInterval(expiry) => expiry_s = Some(expiry.val()),
            Property::PayloadFormatIndicator(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(_) => encoded.extend(property.to_continuous_buffer()),
            _ => {}
        }
    }
    (encoded.into(), expiry_s)
}

/// The subscription identifier of a SUBSCRIBE; zero for none (MQTT 5 §3.8.2.1.2).
fn subscription_id(properties: &[Property]) -> Result<u32, (DisconnectReasonCode, &'static str)> {
    let mut ids = properties.iter().filter_map(|property| match property {
        Property::SubscriptionIdentifier(id) => Some(id.val()),
        _ => None,
    });
    let id = ids.next().unwrap_or(0);
    match ids.next() {
        Some(_) => Err((DisconnectReasonCode::ProtocolError, "SUBSCRIBE with two subscription identifiers")),
        None => Ok(id),
    }
}

fn wishes(entries: &[SubEntry], id: u32) -> Vec<(String, Wish)> {
    entries.iter().map(|entry| (entry.topic_filter().to_owned(), wish(entry, id))).collect()
}

fn wish(entry: &SubEntry, id: u32) -> Wish {
    let options = entry.sub_opts();
    Wish {
        qos: number(options.qos()),
        no_local: options.nl(),
        retain_as_published: options.rap(),
        retained: match options.rh() {
            Handling::SendRetained => RetainHandling::Always,
            Handling::SendRetainedIfNotExists => RetainHandling::IfNew,
            Handling::DoNotSendRetained => RetainHandling::Never,
        },
        id,
    }
}

fn has_options_of_5(wish: &Wish) -> bool {
    wish.no_local || wish.retain_as_published || wish.retained != RetainHandling::Always
}

fn number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
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
