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

/// What a sector with an identity begins with.
const MAGIC: [u8; 4] = *b"VWID";
const VERSION: u8 = 1;

/// The record does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity needs more room than {len} bytes")]
pub struct IdentityRoom {
    /// The room there was, in bytes.
    pub len: usize,
}

impl Identity {
    /// Writes the record to the beginning of `sector`; returns its length.
    ///
    /// # Errors
    /// It has not room enough.
    pub fn encode(&self, sector: &mut [u8]) -> Result<usize, IdentityRoom> {
        let room = IdentityRoom { len: sector.len() };
        let (head, rest) = sector.split_at_mut_checked(6).ok_or(room)?;
        let mut encoder = minicbor::Encoder::new(minicbor::encode::write::Cursor::new(&mut *rest));
        self.encode_cbor(&mut encoder).map_err(|_| room)?;
        let len = encoder.writer().position();
        let crc = crc_32(rest.get(..len).unwrap_or_default()).to_le_bytes();
        rest.get_mut(len..len + crc.len()).ok_or(room)?.copy_from_slice(&crc);
        let (magic, length) = head.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        length.copy_from_slice(&u16::try_from(len).map_err(|_| room)?.to_le_bytes());
        Ok(head.len() + len + crc.len())
    }

    fn encode_cbor<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.map(5 + u64::from(self.access_point_password.is_some()))?;
        encoder.u8(0)?.u8(VERSION)?.u8(1)?.str(&self.name)?;
        encoder.u8(2)?.bytes(&self.setup_key)?.u8(3)?.bytes(&self.seed)?;
        if let Some(password) = &self.access_point_password {
            encoder.u8(4)?.str(password)?;
        }
        match &self.credentials {
            Credentials::Link { id, psk } => {
                let id = core::str::from_utf8(id).unwrap_or_default();
                encoder.u8(5)?.array(2)?.str(id)?.bytes(psk)?;
            }
            Credentials::Frames { key, iv } => {
                encoder.u8(6)?.array(2)?.bytes(key)?.bytes(iv)?;
            }
        }
        Ok(())
    }
}

/// CRC-32 of IEEE 802.3.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
