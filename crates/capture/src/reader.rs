//! What one direction of a connection speaks, told by its first bytes, and the reader that goes on with it.

mod frames;
mod http;
mod mqtt;
mod tls;

use vitalwire_protocol::{Detected, detect};

use self::frames::FrameReader;
use self::http::HttpReader;
use self::mqtt::MqttReader;
use self::tls::TlsReader;
use crate::bytes::Bytes;
use crate::evidence::{Protocol, Reason};
use crate::tap::Tap;

/// After so many bytes it is clear what a direction speaks: a block of a frame and what follows it.
const HEAD_LEN: usize = 33;
/// What requests and answers of HTTP begin with (RFC 9112).
const HTTP_STARTS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"HTTP/1."];

/// One direction of a connection.
pub(crate) enum Reader {
    /// Too few bytes came. `is_start` tells whether they are the first of the connection.
    Undecided {
        head: Vec<u8>,
        at: u64,
        time_ns: u64,
        is_start: bool,
    },
    Tls(TlsReader),
    Frames(FrameReader),
    Mqtt(MqttReader),
    Http(HttpReader),
    /// Searched, and not understood.
    Other(Protocol),
}

impl Default for Reader {
    fn default() -> Self {
        Self::Undecided { head: Vec::new(), at: 0, time_ns: 0, is_start: true }
    }
}

impl Reader {
    /// The protocol; `None` while nothing has come.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Undecided { .. } => None,
            Self::Tls(_) => Some(Protocol::Tls),
            Self::Frames(_) => Some(Protocol::Frames),
            Self::Mqtt(_) => Some(Protocol::Mqtt),
            Self::Http(reader) => Some(reader.protocol()),
            Self::Other(protocol) => Some(*protocol),
        }
    }

    /// The first bytes of the connection are missing.
    pub(crate) fn start_is_missing(&mut self) {
        if let Self::Undecided { is_start, .. } = self {
            *is_start = false;
        }
    }

    /// The next bytes of the direction.
    pub(crate) fn feed(&mut self, at: u64, bytes: &[u8], tap: &mut Tap<'_>) {
        match self {
            Self::Undecided { head, at: head_at, time_ns, .. } => {
                if head.is_empty() {
                    (*head_at, *time_ns) = (at, tap.time_ns);
                }
                head.extend_from_slice(bytes);
                if head.len() >= HEAD_LEN || is_told_early(head) {
                    self.decide(tap);
                }
            }
            Self::Tls(reader) => reader.feed(at, bytes, tap),
            Self::Frames(reader) => reader.feed(at, bytes, tap),
            Self::Mqtt(reader) => {
                tap.plain(at, bytes);
                reader.feed(bytes, tap.evidence);
            }
            Self::Http(reader) => reader.feed(at, bytes, tap),
            Self::Other(_) => tap.plain(at, bytes),
        }
    }

    /// So many bytes are missing here.
    pub(crate) fn gap(&mut self, len: u64, tap: &mut Tap<'_>) {
        tap.evidence.missing_len += len;
        if let Self::Undecided { head, is_start, .. } = self {
            if head.is_empty() {
                *is_start = false;
            } else {
                self.decide(tap);
            }
        }
        match self {
            Self::Undecided { .. } | Self::Other(_) => {}
            Self::Tls(reader) => reader.gap(len),
            Self::Frames(reader) => reader.gap(),
            // What follows is in the clear as well, but its packets are not counted any more.
            Self::Mqtt(_) => *self = Self::Other(Protocol::Mqtt),
            Self::Http(reader) => *self = Self::Other(reader.protocol()),
        }
    }

    /// The direction ends.
    pub(crate) fn finish(&mut self, tap: &mut Tap<'_>) {
        if matches!(self, Self::Undecided { head, .. } if !head.is_empty()) {
            self.decide(tap);
        }
        match self {
            Self::Tls(reader) => reader.finish(tap),
            Self::Http(reader) => reader.finish(tap),
            _ => {}
        }
    }

    fn decide(&mut self, tap: &mut Tap<'_>) {
        let Self::Undecided { head, at, time_ns, is_start } = self else { return };
        let (head, at, is_start) = (std::mem::take(head), *at, *is_start);
        tap.time_ns = *time_ns;
        *self = match head.as_slice() {
            [20..=24, 3, 0..=4, ..] => Self::Tls(TlsReader::default()),
            [first, ..] if detect(*first) == Detected::Frames && is_frame(&head, is_start) => {
                Self::Frames(FrameReader::new(is_start))
            }
            bytes if is_start && is_mqtt(bytes) => Self::Mqtt(MqttReader::default()),
            bytes if HTTP_STARTS.iter().any(|start| bytes.starts_with(start)) => {
                Self::Http(HttpReader::default())
            }
            bytes if bytes.starts_with(b"SSH-") => Self::Other(Protocol::Ssh),
            _ => Self::Other(Protocol::Unknown),
        };
        match self {
            Self::Mqtt(_) => tap.evidence.note(Reason::Clear(Protocol::Mqtt)),
            Self::Other(protocol) => tap.evidence.note(Reason::NotJudged(*protocol)),
            _ => {}
        }
        self.feed(at, &head, tap);
    }
}

/// A record of TLS shows itself in its first bytes, and `CONNACK` is all that some servers say.
fn is_told_early(head: &[u8]) -> bool {
    matches!(head, [20..=24, 3, 0..=4, ..]) || is_mqtt(head)
}

/// A block of digits and what may follow it; where the start is missing, what a frame is made of.
fn is_frame(head: &[u8], is_start: bool) -> bool {
    let is_of_frames = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'+');
    // However much has come, the answer depends on the same bytes.
    let Some((block, next)) = head.get(..HEAD_LEN).and_then(|head| head.split_at_checked(HEAD_LEN - 1))
    else {
        return false;
    };
    block.iter().chain(next).all(is_of_frames) && !(is_start && block.contains(&b'+'))
}

/// `CONNECT` with the protocol's name, or `CONNACK` (MQTT 3.1.1 and 5, §3.1 and §3.2).
fn is_mqtt(head: &[u8]) -> bool {
    let mut bytes = Bytes(head);
    let Some(kind) = bytes.u8() else { return false };
    let mut len = 0;
    for shift in [0, 7, 14, 21] {
        let Some(byte) = bytes.u8() else { return false };
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    match kind {
        0x10 => matches!(bytes.vector_u16(), Some(b"MQTT" | b"MQIsdp")),
        0x20 => len >= 2 && matches!(bytes.u8(), Some(0 | 1)),
        _ => false,
    }
}
