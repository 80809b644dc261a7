//! HTTP in the clear, and the WebSocket that it may become (RFC 6455). Clients mask what they send; it is searched unmasked.

use super::mqtt::MqttReader;
use crate::bytes::Bytes;
use crate::evidence::{Protocol, Reason};
use crate::tap::Tap;

/// Headers longer than this are none that make a WebSocket.
const HEADERS_LEN_MAX: usize = 16 << 10;

/// One direction.
pub(crate) struct HttpReader(State);

enum State {
    Headers(Vec<u8>),
    Body,
    WebSocket(WebSocket),
}

impl Default for HttpReader {
    fn default() -> Self {
        Self(State::Headers(Vec::new()))
    }
}

impl HttpReader {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.0 {
            State::WebSocket(_) => Protocol::MqttOverWebSocket,
            State::Headers(_) | State::Body => Protocol::Http,
        }
    }

    pub(crate) fn feed(&mut self, at: u64, bytes: &[u8], tap: &mut Tap<'_>) {
        match &mut self.0 {
            State::Body => tap.plain(at, bytes),
            State::WebSocket(reader) => reader.feed(at, bytes, tap),
            State::Headers(headers) => {
                let before = headers.len();
                headers.extend_from_slice(bytes);
                let end = headers.windows(4).position(|window| window == b"\r\n\r\n").map(|place| place + 4);
                let taken = end.unwrap_or(headers.len()) - before.min(end.unwrap_or(before));
                let (head, rest) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
                tap.plain(at, head);
                if end.is_none() && headers.len() <= HEADERS_LEN_MAX {
                    return;
                }
                self.0 = match end.is_some() && is_websocket(headers) {
                    true => State::WebSocket(WebSocket::default()),
                    false => State::Body,
                };
                tap.evidence.note(Reason::Clear(self.protocol()));
                self.feed(at + head.len() as u64, rest, tap);
            }
        }
    }

    /// The end came within the headers.
    pub(crate) fn finish(&self, tap: &mut Tap<'_>) {
        if matches!(self.0, State::Headers(_)) {
            tap.evidence.note(Reason::Clear(Protocol::Http));
        }
    }
}

/// Whether the headers ask for a WebSocket for MQTT, or grant it.
fn is_websocket(headers: &[u8]) -> bool {
    let text = String::from_utf8_lossy(headers).to_ascii_lowercase();
    let has = |name: &str, value: &str| {
        text.lines().any(|line| {
            line.split_once(':').is_some_and(|(key, values)| {
                key.trim() == name && values.split(',').any(|part| part.trim().starts_with(value))
            })
        })
    };
    let granted = !text.starts_with("http/") || text.starts_with("http/1.1 101");
    granted && has("upgrade", "websocket") && has("sec-websocket-protocol", "mqtt")
}

/// Frames of a WebSocket.
#[derive(Default)]
struct WebSocket {
    /// The header of the present frame, as far as it has come.
    head: Vec<u8>,
    /// Bytes of the present frame's content that are still to come.
    left: u64,
    mask: [u8; 4],
    mask_place: usize,
    is_message: bool,
    mqtt: MqttReader,
}

impl WebSocket {
    fn feed(&mut self, at: u64, bytes: &[u8], tap: &mut Tap<'_>) {
        let mut rest = Bytes(bytes);
        while !rest.0.is_empty() {
            let at = at + (bytes.len() - rest.0.len()) as u64;
            if self.left == 0 {
                self.head.extend(rest.u8());
                self.begin(tap);
                continue;
            }
            let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.0.len());
            let mut content = rest.take(len).unwrap_or_default().to_vec();
            for byte in &mut content {
                *byte ^= self.mask.get(self.mask_place % 4).copied().unwrap_or_default();
                self.mask_place += 1;
            }
            self.left -= len as u64;
            tap.plain(at, &content);
            if self.is_message {
                self.mqtt.feed(&content, tap.evidence);
            }
        }
    }

    /// Begins a frame when its header is whole (RFC 6455 §5.2).
    fn begin(&mut self, tap: &mut Tap<'_>) {
        let mut bytes = Bytes(&self.head);
        let Some((first, second)) = bytes.u8().zip(bytes.u8()) else { return };
        let len = match second & 0x7f {
            126 => bytes.u16().map(u64::from),
            127 => bytes.array().map(u64::from_be_bytes),
            len => Some(u64::from(len)),
        };
        let mask = if second & 0x80 == 0 { Some([0; 4]) } else { bytes.array() };
        let Some((len, mask)) = len.zip(mask) else { return };
        if first & 0x40 != 0 {
            tap.evidence.note(Reason::Compressed);
        }
        (self.left, self.mask, self.mask_place) = (len, mask, 0);
        self.is_message = first & 0x0f <= 2;
        self.head.clear();
    }
}
