//! An enrolled device with its opened key. No key here can be printed.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;

use crate::broken::BrokenCause;
use crate::link::{LinkId, LinkKeys};

/// The one protocol a device is enrolled for; it never falls back to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// The paper's AES-CBC frames (PROTOCOL.md §2): confidential only.
    AesCbc,
    /// Batches inside TLS 1.3 with a pre-shared key (PROTOCOL.md §4): authenticated both ways, acknowledged.
    Tls,
}

impl Protocol {
    /// The text it is stored and shown as.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AesCbc => "aes-cbc",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = BrokenCause;
    fn from_str(text: &str) -> Result<Self, BrokenCause> {
        match text {
            "aes-cbc" => Ok(Self::AesCbc),
            "tls" => Ok(Self::Tls),
            _ => Err(BrokenCause::UnknownProtocol(text.to_owned())),
        }
    }
}

/// What a device proves itself with. `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub enum DeviceKey {
    /// Key and IV of AES-CBC frames.
    AesCbc(CbcSecret),
    /// The links of TLS.
    Tls(LinkKeys),
}

impl DeviceKey {
    /// The protocol that this key is for.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::AesCbc(_) => Protocol::AesCbc,
            Self::Tls(_) => Protocol::Tls,
        }
    }

    /// Key and IV of a device that speaks AES-CBC frames.
    #[must_use]
    pub fn cbc_secret(&self) -> Option<&CbcSecret> {
        match self {
            Self::AesCbc(secret) => Some(secret),
            Self::Tls(_) => None,
        }
    }

    /// The links of a device that speaks TLS.
    #[must_use]
    pub fn links(&self) -> Option<&LinkKeys> {
        match self {
            Self::AesCbc(_) => None,
            Self::Tls(links) => Some(links),
        }
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AesCbc(_) => f.write_str("AesCbc(..)"),
            Self::Tls(links) => f.debug_tuple("Tls").field(links).finish(),
        }
    }
}

/// An enrolled device with its opened key. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// Its key, and with that what it speaks.
    pub key: DeviceKey,
    /// 1 for the first key ever enrolled under this name, one more with each new key.
    pub generation: u32,
}

impl Device {
    /// What it speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.key.protocol()
    }

    /// Its key and IV, if it speaks AES-CBC frames.
    #[must_use]
    pub fn cbc_secret(&self) -> Option<&CbcSecret> {
        self.key.cbc_secret()
    }

    /// Whether a session under this link may live at `now`.
    #[must_use]
    pub fn accepts(&self, link: &LinkId, now: SystemTime) -> bool {
        self.key.links().is_some_and(|links| links.find(link, now).is_some())
    }
}
