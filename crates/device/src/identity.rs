//! What a device is given when it is made: how it proves itself to its server, and its setup key. It lies in a sector of the
//! flash that the device only reads.

use heapless::String;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Characters of the name that the configuration page shows, at most.
pub const NAME_LEN_MAX: usize = 64;
/// Bytes of a setup key.
pub const SETUP_KEY_LEN: usize = 16;
/// Characters of the password of the device's own network (WPA2), at most.
pub const ACCESS_POINT_PASSWORD_LEN_MAX: usize = 63;

/// The identity. Printing it shows no key.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Identity {
    /// What the configuration page shows: the link id, or the name of a device with AES-CBC frames.
    pub name: String<NAME_LEN_MAX>,
    /// What saves of the configuration page are sealed with; it is on the label.
    pub setup_key: [u8; SETUP_KEY_LEN],
    /// Mixed into the random source, so that two devices never draw alike.
    pub seed: [u8; 32],
    /// The password of the device's own network; without it that network is open, as in the paper.
    pub access_point_password: Option<String<ACCESS_POINT_PASSWORD_LEN_MAX>>,
    /// How it proves itself to its server.
    pub credentials: Credentials,
}

/// How a device proves itself. A device is enrolled for exactly one protocol.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub enum Credentials {
    /// TLS 1.3 with a pre-shared key, batches (PROTOCOL.md §4).
    Link {
        /// The link id, 32 lowercase hexadecimal digits: the identity of the key on the wire.
        id: [u8; 32],
        /// The pre-shared key.
        psk: [u8; 32],
    },
    /// The paper's AES-CBC frames (PROTOCOL.md §2).
    Frames {
        /// The AES-128 key.
        key: [u8; 16],
        /// The initialisation vector.
        iv: [u8; 16],
    },
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Link { .. } => "Link",
            Self::Frames { .. } => "Frames",
        })
    }
}
