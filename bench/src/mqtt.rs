//! The little of MQTT 3.1.1 that a measuring client needs, at QoS 0. Never a broker, never a general client.

use anyhow::{Context, Result, bail, ensure};

/// Long past every run, so that neither side spends time on pings.
const KEEP_ALIVE_SECONDS: u16 = 3_600;

/// A packet from a broker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// CONNACK with its return code; 0 is welcome.
    ConnAck(u8),
    /// PUBACK.
    PubAck,
    /// SUBACK: whether every filter was granted.
    SubAck(bool),
    Publish {
        topic: &'a [u8],
        payload: &'a [u8],
        retained: bool,
    },
    Other,
}

/// CONNECT with a clean session. A device that is known by its TLS identity has no login.
pub(crate) fn connect(client_id: &str, login: Option<(&str, &str)>) -> Result<Vec<u8>> {
    let clean_session = 0x02;
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

/// SUBSCRIBE to `filters` at QoS 0.
pub(crate) fn subscribe(filters: &[String]) -> Result<Vec<u8>> {
    let mut body = vec![0, 1];
    for filter in filters {
        put_text(&mut body, filter.as_bytes())?;
        body.push(0);
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

/// PUBLISH at QoS 1 with packet identifier 1.
pub(crate) fn publish_acknowledged(topic: &str, payload: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(4 + topic.len() + payload.len());
    put_text(&mut body, topic.as_bytes())?;
    body.extend([0, 1]);
    body.extend(payload);
    packet(0x32, &body)
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
        2 => Packet::ConnAck(*body.get(1).context(short)?),
        3 => publish_parts(first, body).context(short)?,
        4 => Packet::PubAck,
        9 => Packet::SubAck(body.get(2..).context(short)?.iter().all(|code| code & 0x80 == 0)),
        13 => Packet::Other,
        kind => bail!("the broker sent a packet of kind {kind}, which a QoS 0 subscriber never gets"),
    })
}

fn publish_parts(first: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let (topic, payload) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    // QoS 1 would carry a packet identifier before the payload; at QoS 0 there is none.
    (first & 0x06 == 0).then_some(Packet::Publish { topic, payload, retained: first & 1 == 1 })
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
        assert_eq!(packet, Packet::Publish { topic: b"Pico/a/b", payload: &[b'7'; 200], retained: false });
    }

    #[test]
    fn connect_matches_the_standard() {
        // MQTT 3.1.1 §3.1
        let expected = [0x10, 0x0D, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0x0E, 0x10, 0, 1, b'a'];
        assert_eq!(connect("a", None).unwrap(), expected);
    }

    #[test]
    fn a_refused_filter_is_not_granted() {
        assert_eq!(decode(&[0x90, 4, 0, 1, 0, 0x80]).unwrap(), Some((Packet::SubAck(false), 6)));
    }
}
