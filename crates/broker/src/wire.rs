//! The packets of the hot path, by hand: PUBLISH and PUBREL to a client, its acknowledgements, and where a packet ends. All
//! others are `protocol`'s. By hand a message costs a tenth of what it costs through the protocol's crate.

use bytes::BufMut;

use crate::message::Publication;

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;

/// How a publication goes to one subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) v5: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// Zero at QoS 0.
    pub(crate) packet_id: u16,
    /// Subscription identifiers, MQTT 5 §3.3.2.3.8.
    pub(crate) ids: &'a [u32],
    pub(crate) now_s: u64,
}

/// Appends a PUBLISH.
pub(crate) fn publish(out: &mut Vec<u8>, publication: &Publication, form: Form<'_>) {
    let properties = properties_len(publication, form);
    let len = 2
        + publication.topic.len()
        + if form.qos > 0 { 2 } else { 0 }
        + if form.v5 { variable_len(properties) + properties } else { 0 }
        + publication.payload.len();
    out.reserve(5 + len);
    out.push(0x30 | u8::from(form.dup) << 3 | form.qos << 1 | u8::from(form.retain));
    put_variable(out, len);
    put_text(out, publication.topic.as_bytes());
    if form.qos > 0 {
        out.put_u16(form.packet_id);
    }
    if form.v5 {
        put_variable(out, properties);
        out.extend_from_slice(&publication.properties);
        if let Some(expires_s) = publication.expires_s {
            out.push(MESSAGE_EXPIRY_INTERVAL);
            let left_s = expires_s.saturating_sub(form.now_s);
            out.put_u32(u32::try_from(left_s).unwrap_or(u32::MAX));
        }
        for id in form.ids {
            out.push(SUBSCRIPTION_IDENTIFIER);
            put_variable(out, *id as usize);
        }
    }
    out.extend_from_slice(&publication.payload);
}

/// Bytes of that PUBLISH.
pub(crate) fn publish_len(publication: &Publication, form: Form<'_>) -> usize {
    let properties = properties_len(publication, form);
    let rest = 2
        + publication.topic.len()
        + if form.qos > 0 { 2 } else { 0 }
        + if form.v5 { variable_len(properties) + properties } else { 0 }
        + publication.payload.len();
    1 + variable_len(rest) + rest
}

fn properties_len(publication: &Publication, form: Form<'_>) -> usize {
    if !form.v5 {
        return 0;
    }
    let ids: usize = form.ids.iter().map(|id| 1 + variable_len(*id as usize)).sum();
    publication.properties.len() + if publication.expires_s.is_some() { 5 } else { 0 } + ids
}

/// Appends a PUBREL.
pub(crate) fn release(out: &mut Vec<u8>, packet_id: u16) {
    out.extend_from_slice(&[PUBREL, 2]);
    out.put_u16(packet_id);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    // A topic came in with such a length, or is ours and short.
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text);
}

/// A variable byte integer, MQTT 5 §1.5.5.
fn put_variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn variable_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// What lies at the start of the bytes received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Not yet whole.
    Part,
    /// An answer to a PUBLISH of ours, which takes `len` bytes.
    Answer { answer: Answer, packet_id: u16, len: usize },
    /// Any other packet of `len` bytes.
    Other { len: usize },
    /// It announces a packet of more bytes than are taken.
    TooLong,
    /// No packet at all.
    Malformed,
}

/// What a subscriber answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Acknowledged,
    Received,
    /// It refuses a QoS 2 message, which ends here (MQTT 5 §4.3.3).
    Refused,
    Completed,
}

/// Cuts the first packet off.
pub(crate) fn frame(bytes: &[u8], len_max: usize) -> Frame {
    let Some(&first) = bytes.first() else { return Frame::Part };
    let Some((len, at)) = variable(bytes, 1) else {
        return if bytes.len() > 4 { Frame::Malformed } else { Frame::Part };
    };
    // More bytes than the value needs are malformed (MQTT 5 §1.5.5).
    if variable_len(len) != at - 1 {
        return Frame::Malformed;
    }
    let total = at + len;
    match bytes.get(at..total) {
        _ if total > len_max => Frame::TooLong,
        None => Frame::Part,
        Some(body) => packet(first, body, total),
    }
}

/// A variable byte integer at this place, and where what follows it begins (MQTT 5 §1.5.5). `None` when it is cut, or has more
/// than four bytes.
pub(crate) fn variable(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    for (count, byte) in bytes.iter().skip(at).take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * count);
        if byte & 0x80 == 0 {
            return Some((value, at + count + 1));
        }
    }
    None
}

fn packet(first: u8, body: &[u8], len: usize) -> Frame {
    let answer = match first {
        PUBACK => Answer::Acknowledged,
        PUBREC => Answer::Received,
        PUBCOMP => Answer::Completed,
        // Their flags are reserved, and no other are good (MQTT 5 §2.1.3).
        _ if matches!(first & 0xf0, PUBACK | PUBREC | PUBCOMP) => return Frame::Malformed,
        _ => return if are_flags_good(first) { Frame::Other { len } } else { Frame::Malformed },
    };
    let (Some(id), reason) = (body.get(..2), body.get(2)) else { return Frame::Malformed };
    let packet_id = id.iter().fold(0, |id, byte| id << 8 | u16::from(*byte));
    let refused = answer == Answer::Received && reason.is_some_and(|reason| *reason >= 0x80);
    let answer = if refused { Answer::Refused } else { answer };
    Frame::Answer { answer, packet_id, len }
}

fn are_flags_good(first: u8) -> bool {
    match first >> 4 {
        // PUBLISH: a QoS of 3 does not exist.
        3 => first & 0b0110 != 0b0110,
        6 | 8 | 10 => first & 0x0f == 0b0010,
        0 => false,
        _ => first & 0x0f == 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LEN_MAX: usize = 1 << 20;

    fn form(v5: bool, qos: u8) -> Form<'static> {
        Form { v5, qos, retain: false, dup: false, packet_id: 258, ids: &[], now_s: 0 }
    }

    #[test]
    fn lengths_are_told_as_written_and_a_packet_cut_anywhere_is_a_part() {
        for size in [0, 1, 100, 125, 126, 127, 128, 16_380, 70_000] {
            for (v5, qos) in [(false, 0), (false, 1), (true, 0), (true, 2)] {
                let publication = Publication::new("a/b".into(), Bytes::from(vec![7; size]));
                let mut out = Vec::new();
                publish(&mut out, &publication, form(v5, qos));
                assert_eq!(out.len(), publish_len(&publication, form(v5, qos)));
                assert_eq!(frame(&out, LEN_MAX), Frame::Other { len: out.len() });
                for cut in (0..out.len()).step_by(if size > 200 { 997 } else { 1 }) {
                    assert_eq!(frame(&out[..cut], LEN_MAX), Frame::Part, "{size} {cut}");
                }
            }
        }
    }

    #[test]
    fn mqtt_5_gets_properties_what_is_left_of_the_expiry_and_identifiers() {
        let mut publication = Publication::new("a".into(), Bytes::from_static(b"x"));
        publication.properties = Bytes::from_static(&[1, 1]);
        publication.expires_s = Some(110);
        let mut out = Vec::new();
        let form = Form { ids: &[7, 300], now_s: 100, ..form(true, 1) };
        publish(&mut out, &publication, form);
        assert_eq!(out, [0x32, 19, 0, 1, b'a', 1, 2, 12, 1, 1, 2, 0, 0, 0, 10, 11, 7, 11, 0xac, 2, b'x']);
        out.clear();
        publish(&mut out, &publication, Form { v5: false, ..form });
        assert_eq!(out, [0x32, 6, 0, 1, b'a', 1, 2, b'x']);
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_refused() {
        let answer = |bytes: &[u8]| frame(bytes, LEN_MAX);
        let of = |answer, len| Frame::Answer { answer, packet_id: 258, len };
        assert_eq!(answer(&[0x40, 2, 1, 2, 0x40]), of(Answer::Acknowledged, 4));
        assert_eq!(answer(&[0x40, 4, 1, 2, 0x10, 0]), of(Answer::Acknowledged, 6));
        assert_eq!(answer(&[0x50, 2, 1, 2]), of(Answer::Received, 4));
        assert_eq!(answer(&[0x50, 3, 1, 2, 0x87]), of(Answer::Refused, 5));
        assert_eq!(answer(&[0x70, 2, 1, 2]), of(Answer::Completed, 4));
        for malformed in [
            &[0x40, 1, 1][..],
            &[0x41, 2, 1, 2],
            &[0x36, 2, 0, 0],
            &[0x80, 0],
            &[0x00, 0],
            &[0xc1, 0],
            &[0xc0, 0x80, 0],
            &[0xc0, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(answer(malformed), Frame::Malformed, "{malformed:?}");
        }
        assert_eq!(frame(&[0x30, 0xff, 0x7f], 100), Frame::TooLong);
    }
}
