//! What the protocol's crate lets through against the standard, and what it does not survive.

use std::borrow::Cow;

use mqtt_protocol_core::mqtt::packet::Property;
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

use super::Input;
use crate::core::filters::{is_topic, parts};
use crate::core::turn::{RetainHandling, Wish};
use crate::wire::variable;

/// Why a connection ends, for its client and for the log.
pub(super) type Fault = (DisconnectReasonCode, &'static str);

const ZERO_ID: &str = "a packet identifier is zero";
const INVALID_TOPIC: &str = "a topic name has wildcards, NUL or no character";

/// MQTT 5 §1.5.4.
const NUL_IN_A_TEXT: &str = "a text has the character NUL";

/// What of CONNECT the crate does not judge: the level of other versions, and flags that must not be (MQTT 5 §3.1.2).
pub(super) fn connect(packet: &[u8]) -> Result<(), Vec<Input>> {
    let broken = |why: &str| Err(vec![Input::Broken(why.to_owned())]);
    if packet.first() != Some(&0x10) {
        return broken("the first packet is not CONNECT");
    }
    let body = variable(packet, 1).and_then(|(_, at)| packet.get(at..));
    let Some(body) = body else { return broken("CONNECT is cut") };
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
pub(super) fn with_aliases(packet: &[u8]) -> Cow<'_, [u8]> {
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
    property(packet, body + 10, 0x22)
}

/// Whether a PUBLISH of MQTT 5 has a Topic Alias of zero, which is not permitted (§3.3.2.3.4). The crate refuses it as
/// another fault.
pub(super) fn has_alias_zero(packet: &[u8]) -> bool {
    let Some(first) = packet.first().filter(|first| *first >> 4 == 3) else { return false };
    let value = || {
        let (_, body) = variable(packet, 1)?;
        let topic_len = packet.get(body..body + 2)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        let packet_id_len = if first & 6 == 0 { 0 } else { 2 };
        let at = property(packet, body + 2 + topic_len + packet_id_len, 0x23)?;
        packet.get(at..at + 2)
    };
    value() == Some(&[0, 0])
}

/// Where the value of a property stands, if it is among those whose length stands at `at`.
fn property(packet: &[u8], at: usize, wanted: u8) -> Option<usize> {
    let (len, mut at) = variable(packet, at)?;
    let properties = packet.get(..at + len)?;
    let text_len = |at: usize| {
        let len = properties.get(at..at + 2)?;
        Some(len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)) + 2)
    };
    loop {
        let value = at + 1;
        at = match *properties.get(at)? {
            id if id == wanted => return Some(value),
            0x01 | 0x17 | 0x19 => value + 1,
            0x21..=0x23 => value + 2,
            0x02 | 0x11 | 0x27 => value + 4,
            0x03 | 0x08 | 0x09 | 0x15 | 0x16 => value + text_len(value)?,
            0x26 => value + text_len(value)? + text_len(value + text_len(value)?)?,
            0x0b => variable(properties, value)?.1,
            _ => return None,
        };
    }
}

/// What of the other packets the crate does not judge.
pub(super) fn input(input: &Input, v5: bool) -> Option<Fault> {
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

/// What the crate lets through of the properties of a PUBLISH or a will (MQTT 5 §3.3.2.3). Subscribers would get it.
pub(super) fn properties(properties: &[Property]) -> Result<(), Fault> {
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

/// The subscription identifier of a SUBSCRIBE; zero for none (MQTT 5 §3.8.2.1.2).
pub(super) fn subscription_id(properties: &[Property]) -> Result<u32, Fault> {
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

fn has_options_of_5(wish: &Wish) -> bool {
    wish.no_local || wish.retain_as_published || wish.retained != RetainHandling::Always
}
