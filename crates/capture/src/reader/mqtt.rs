//! MQTT packets in the clear: how many messages there are, and whether a login has a password. What they say is searched by
//! others.

use crate::bytes::Bytes;
use crate::evidence::{Evidence, Reason};

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
/// Of the body of a `CONNECT` this much is enough: the protocol's name, its level and the flags.
const CONNECT_START_LEN: usize = 10;

/// Packets of one direction.
#[derive(Default)]
pub(crate) struct MqttReader(State);

#[derive(Default)]
enum State {
    #[default]
    Kind,
    Length {
        kind: u8,
        len: usize,
        shift: u32,
    },
    Body {
        kind: u8,
        left: usize,
        start: Vec<u8>,
    },
    /// A length that cannot be: this was no MQTT, or is no longer.
    Lost,
}

impl MqttReader {
    pub(crate) fn feed(&mut self, bytes: &[u8], evidence: &mut Evidence) {
        let mut bytes = Bytes(bytes);
        while !bytes.0.is_empty() {
            self.0 = match std::mem::replace(&mut self.0, State::Lost) {
                State::Lost => return,
                State::Kind => match bytes.u8() {
                    Some(first) => State::Length { kind: first >> 4, len: 0, shift: 0 },
                    None => State::Kind,
                },
                State::Length { kind, len, shift } => {
                    let byte = bytes.u8().unwrap_or_default();
                    let len = len | usize::from(byte & 0x7f) << shift;
                    match (byte & 0x80 != 0, shift) {
                        (true, 21..) => State::Lost,
                        (true, _) => State::Length { kind, len, shift: shift + 7 },
                        (false, _) => begin(kind, len, evidence),
                    }
                }
                State::Body { kind, left, mut start } => {
                    let part = bytes.take(left.min(bytes.0.len())).unwrap_or_default();
                    if kind == CONNECT && start.len() < CONNECT_START_LEN {
                        let wanted = part.len().min(CONNECT_START_LEN - start.len());
                        start.extend_from_slice(part.get(..wanted).unwrap_or_default());
                        if has_password(&start) {
                            evidence.note(Reason::Password);
                        }
                    }
                    match left - part.len() {
                        0 => State::Kind,
                        left => State::Body { kind, left, start },
                    }
                }
            };
        }
    }
}

fn begin(kind: u8, len: usize, evidence: &mut Evidence) -> State {
    if kind == PUBLISH {
        evidence.mqtt_messages += 1;
    }
    if len == 0 { State::Kind } else { State::Body { kind, left: len, start: Vec::new() } }
}

/// The password flag of a `CONNECT` (MQTT 5 §3.1.2.9), once it has come.
fn has_password(start: &[u8]) -> bool {
    let mut bytes = Bytes(start);
    let flags = bytes.vector_u16().and_then(|_| bytes.u8()).and_then(|_| bytes.u8());
    flags.is_some_and(|flags| flags & 0x40 != 0)
}
