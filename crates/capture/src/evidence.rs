//! What a flow showed: what was agreed, what lay open, and what keeps a verdict from being given.

use std::collections::BTreeMap;
use std::fmt;

use crate::blocks::Seen;
use crate::hello::ServerHello;

/// Flows and needles of which the places are kept. Beyond that findings are only counted.
const FINDINGS_MAX: usize = 10_000;
/// Repeated blocks of a flow of which the places are kept.
const REPEATS_SHOWN_MAX: usize = 3;

/// What a flow speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tls,
    Frames,
    Mqtt,
    MqttOverWebSocket,
    Http,
    Ssh,
    Udp,
    Unknown,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS",
            Self::Frames => "AES-CBC frames",
            Self::Mqtt => "MQTT",
            Self::MqttOverWebSocket => "MQTT over WebSocket",
            Self::Http => "HTTP",
            Self::Ssh => "SSH",
            Self::Udp => "UDP",
            Self::Unknown => "unknown protocol",
        })
    }
}

/// Why a flow is not simply encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The protocol does not encrypt.
    Clear(Protocol),
    /// An MQTT `CONNECT` has a password.
    Password,
    /// The agreed cipher suite does not encrypt.
    NullCipher,
    /// A message or value that TLS would have encrypted came before encryption.
    BeforeEncryption,
    /// What is not TLS came within TLS.
    NotTls { at: u64 },
    /// What are no frames came within frames.
    NotFrames { at: u64 },
    /// The capture began after the connection.
    StartMissing,
    /// The capture has no `ServerHello` of this connection.
    NoHandshake,
    /// A message of the handshake is too long or damaged.
    BadHandshake,
    /// Before TLS 1.2.
    OldVersion,
    /// Its strength is not known here.
    UnknownSuite,
    /// WebSocket messages are compressed, so their content was not searched.
    Compressed,
    /// Segments outside any window.
    Stray,
    /// Whether it is encrypted cannot be told.
    NotJudged(Protocol),
}

impl Reason {
    /// Whether this alone shows that something was readable.
    pub(crate) fn is_exposure(self) -> bool {
        matches!(self, Self::Clear(_) | Self::Password | Self::NullCipher | Self::BeforeEncryption)
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Clear(_) => "in-the-clear",
            Self::Password => "password",
            Self::NullCipher => "null-cipher",
            Self::BeforeEncryption => "before-encryption",
            Self::NotTls { .. } => "not-tls",
            Self::NotFrames { .. } => "not-frames",
            Self::StartMissing => "start-missing",
            Self::NoHandshake => "no-handshake",
            Self::BadHandshake => "bad-handshake",
            Self::OldVersion => "old-version",
            Self::UnknownSuite => "unknown-suite",
            Self::Compressed => "compressed",
            Self::Stray => "stray-segments",
            Self::NotJudged(_) => "not-judged",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear(protocol) => {
                write!(f, "{protocol} without encryption: anyone on the way can read it")
            }
            Self::Password => f.write_str("a login with a password in the clear (MQTT CONNECT)"),
            Self::NullCipher => f.write_str("the agreed cipher suite does not encrypt"),
            Self::BeforeEncryption => f.write_str("messages in the clear that TLS should have encrypted"),
            Self::NotTls { at } => write!(f, "what comes at byte {at} is not TLS"),
            Self::NotFrames { at } => write!(f, "what comes at byte {at} is no frame"),
            Self::StartMissing => f.write_str("the capture began after the connection"),
            Self::NoHandshake => {
                f.write_str("the capture has no handshake of it, so what was agreed is not known")
            }
            Self::BadHandshake => f.write_str("its handshake is damaged"),
            Self::OldVersion => f.write_str("this version of TLS is obsolete (RFC 8996)"),
            Self::UnknownSuite => f.write_str("whether this cipher suite encrypts is not known here"),
            Self::Compressed => f.write_str("its WebSocket messages are compressed and were not searched"),
            Self::Stray => f.write_str("it has segments that fit nowhere, which were not looked at"),
            Self::NotJudged(protocol) => write!(f, "{protocol}: whether it is encrypted is not judged"),
        }
    }
}

/// A place where a block of ciphertext was seen for the second time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    pub(crate) to_server: bool,
    pub(crate) at: u64,
    pub(crate) time_ns: u64,
    pub(crate) before: Seen,
}

/// What one flow showed.
#[derive(Default)]
pub(crate) struct Evidence {
    pub(crate) client_hello: bool,
    pub(crate) server_hello: Option<ServerHello>,
    /// Bytes that TLS or frames encrypted.
    pub(crate) encrypted_len: u64,
    /// Bytes that are not in the capture.
    pub(crate) missing_len: u64,
    pub(crate) mqtt_messages: u64,
    pub(crate) repeats: u64,
    pub(crate) repeats_shown: Vec<Repeat>,
    reasons: Vec<Reason>,
}

impl Evidence {
    /// Notes a reason; of each kind the first stays.
    pub(crate) fn note(&mut self, reason: Reason) {
        let is_same = |other: &Reason| match (reason, other) {
            (Reason::NotTls { .. }, Reason::NotTls { .. })
            | (Reason::NotFrames { .. }, Reason::NotFrames { .. }) => true,
            _ => reason == *other,
        };
        if !self.reasons.iter().any(is_same) {
            self.reasons.push(reason);
        }
    }

    pub(crate) fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    pub(crate) fn repeat(&mut self, repeat: Repeat) {
        self.repeats += 1;
        if self.repeats_shown.len() < REPEATS_SHOWN_MAX {
            self.repeats_shown.push(repeat);
        }
    }
}

/// Which needle was found, and in which direction of which flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FoundIn {
    pub(crate) flow: u32,
    pub(crate) to_server: bool,
    pub(crate) needle: usize,
}

/// How often a needle was found there, and where first.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) times: u64,
    pub(crate) at: u64,
    pub(crate) time_ns: u64,
}

/// All that was found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) found: BTreeMap<FoundIn, Found>,
    /// Hits of which the place was not kept.
    pub(crate) more: u64,
}

impl Findings {
    pub(crate) fn note(&mut self, place: FoundIn, at: u64, time_ns: u64) {
        if let Some(found) = self.found.get_mut(&place) {
            found.times += 1;
        } else if self.found.len() < FINDINGS_MAX {
            self.found.insert(place, Found { times: 1, at, time_ns });
        } else {
            self.more += 1;
        }
    }
}
