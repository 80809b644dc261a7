//! The little of MQTT 3.1.1 that a measuring client needs, at QoS 0 and 1. Never a broker, never a general client.

use anyhow::{Context, Result, bail, ensure};

/// Long past every run, so that neither side spends time on pings.
const KEEP_ALIVE_SECONDS: u16 = 3_600;

/// DISCONNECT.
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];
/// Bytes of a PUBACK.
pub(crate) const PUBACK_LEN: usize = 4;

/// What becomes of a client's session when its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// It ends too, and one from before is discarded.
    Clean,
    /// The broker keeps it, and goes on with one from before.
    Kept,
}

/// A packet from a broker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// CONNACK with its return code; 0 is welcome.
    ConnAck {
        code: u8,
        /// The broker had a session of this client.
        resumed: bool,
    },
    /// PUBACK.
    PubAck,
    /// SUBACK: whether every filter was granted.
    SubAck(bool),
    Publish {
        topic: &'a [u8],
        payload: &'a [u8],
        retained: bool,
        /// The packet identifier that it is to be acknowledged by: at QoS 1.
        id: Option<u16>,
    },
    Other,
}

/// CONNECT. A device that is known by its TLS identity has no login.
pub(crate) fn connect(client_id: &str, login: Option<(&str, &str)>, session: Session) -> Result<Vec<u8>> {
    let clean_session = if session == Session::Clean { 0x02 } else { 0 };
    let flags = if login.is_some() { 0xC0 | clean_session } else { clean_session };
    let mut body = Vec::new();
    put_text(&mut body, b"MQTT")?;
    body.extend([4, flags]);
    body.extend(KEEP_ALIVE_SECONDS.to_be_bytes());
    put_text(&mut body, client_id.as_bytes())?;
    if let Some((user, password)) = login {
        put_text(&mut body, user.as_bytes())?;
        put_text(&mut body, password.as_bytes())?;
    }
    packet(0x10, &body)
}

/// SUBSCRIBE to `filters`, all at one QoS.
pub(crate) fn subscribe(filters: &[String], qos: u8) -> Result<Vec<u8>> {
    let mut body = vec![0, 1];
    for filter in filters {
        put_text(&mut body, filter.as_bytes())?;
        body.push(qos);
    }
    packet(0x82, &body)
}

/// PUBLISH at QoS 0, added to `out`.
pub(crate) fn publish(topic: &str, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut body = Vec::with_capacity(2 + topic.len() + payload.len());
    put_text(&mut body, topic.as_bytes())?;
    body.extend(payload);
    out.extend(packet(0x30, &body)?);
    Ok(())
}

/// PUBLISH at QoS 1, added to `out`.
pub(crate) fn publish_acknowledged(topic: &str, payload: &[u8], id: u16, out: &mut Vec<u8>) -> Result<()> {
    let mut body = Vec::with_capacity(4 + topic.len() + payload.len());
    put_text(&mut body, topic.as_bytes())?;
    body.extend(id.to_be_bytes());
    body.extend(payload);
    out.extend(packet(0x32, &body)?);
    Ok(())
}

/// PUBACK, added to `out`.
pub(crate) fn acknowledge(id: u16, out: &mut Vec<u8>) {
    out.extend([0x40, 2]);
    out.extend(id.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) -> Result<()> {
    let length = u16::try_from(text.len()).context("MQTT texts are at most 65,535 bytes")?;
    out.extend(length.to_be_bytes());
    out.extend(text);
    Ok(())
}

fn packet(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![kind];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128)?;
        left /= 128;
        if left == 0 {
            out.push(digit);
            break;
        }
        out.push(digit | 0x80);
    }
    out.extend(body);
    Ok(out)
}

/// The first packet of `input` and its length; `None` when more bytes are needed.
pub(crate) fn decode(input: &[u8]) -> Result<Option<(Packet<'_>, usize)>> {
    let Some((&first, mut rest)) = input.split_first() else { return Ok(None) };
    let mut body_length = 0;
    for place in 0.. {
        ensure!(place < 4, "the broker sent a packet length of more than four bytes");
        let Some((&digit, after)) = rest.split_first() else { return Ok(None) };
        rest = after;
        body_length += usize::from(digit & 0x7F) << (7 * place);
        if digit & 0x80 == 0 {
            break;
        }
    }
    let Some(body) = rest.get(..body_length) else { return Ok(None) };
    let length = input.len() - rest.len() + body_length;
    Ok(Some((meaning(first, body)?, length)))
}

fn meaning(first: u8, body: &[u8]) -> Result<Packet<'_>> {
    let short = "the broker sent a packet shorter than its kind allows";
    Ok(match first >> 4 {
        2 => match body {
            [flags, code, ..] => Packet::ConnAck { code: *code, resumed: flags & 1 == 1 },
            _ => bail!("{short}"),
        },
        3 => publish_parts(first, body).context(short)?,
        4 => Packet::PubAck,
        9 => Packet::SubAck(body.get(2..).context(short)?.iter().all(|code| code & 0x80 == 0)),
        13 => Packet::Other,
        kind => {
            bail!("the broker sent a packet of kind {kind}, which a subscriber at QoS 0 and 1 never gets")
        }
    })
}

fn publish_parts(first: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let (topic, payload) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (id, payload) = match first >> 1 & 0x03 {
        0 => (None, payload),
        1 => payload.split_first_chunk::<2>().map(|(id, rest)| (Some(u16::from_be_bytes(*id)), rest))?,
        // Nobody here subscribes at QoS 2.
        _ => return None,
    };
    Some(Packet::Publish { topic, payload, retained: first & 1 == 1, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_a_publish_at_every_cut_point() {
        let mut bytes = Vec::new();
        publish("Pico/a/b", &[b'7'; 200], &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
        let (packet, length) = decode(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let payload = &[b'7'; 200];
        assert_eq!(packet, Packet::Publish { topic: b"Pico/a/b", payload, retained: false, id: None });
    }

    #[test]
    fn a_message_of_qos_1_is_acknowledged_by_its_identifier() {
        let (mut bytes, mut acknowledgement) = (Vec::new(), Vec::new());
        publish_acknowledged("Pico/a/b", b"7", 0x0102, &mut bytes).unwrap();
        let (packet, _) = decode(&bytes).unwrap().unwrap();
        let expected =
            Packet::Publish { topic: b"Pico/a/b", payload: b"7", retained: false, id: Some(0x0102) };
        assert_eq!(packet, expected);
        acknowledge(0x0102, &mut acknowledgement);
        assert_eq!(acknowledgement, [0x40, 2, 1, 2]);
        assert_eq!(acknowledgement.len(), PUBACK_LEN);
    }

    #[test]
    fn connect_matches_the_standard() {
        // MQTT 3.1.1 §3.1
        let expected = [0x10, 0x0D, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0x0E, 0x10, 0, 1, b'a'];
        assert_eq!(connect("a", None, Session::Clean).unwrap(), expected);
        let kept = connect("a", None, Session::Kept).unwrap();
        assert_eq!(kept.get(9), Some(&0), "the flag of a clean session");
    }

    #[test]
    fn a_refused_filter_is_not_granted() {
        assert_eq!(decode(&[0x90, 4, 0, 1, 0, 0x80]).unwrap(), Some((Packet::SubAck(false), 6)));
    }
}
