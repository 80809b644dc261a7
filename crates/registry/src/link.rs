//! What a device shows and proves in a TLS handshake: the link id, which travels in the clear, and the pre-shared key
//! (PROTOCOL.md §4.7). It never holds a device's name, and no key here can be printed.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hex;
use crate::kdf;

/// The bytes of a link id.
const LINK_ID_LEN: usize = 16;
/// The digits of a link id on the wire: a TLS PSK identity has exactly these.
pub const LINK_ID_DIGITS: usize = 2 * LINK_ID_LEN;
/// The bytes of a device key for TLS, and of the pre-shared key made from it.
pub(crate) const KEY_LEN: usize = 32;

/// The random name of one key of one device: 16 bytes, written as 32 lowercase hexadecimal digits. It is the PSK identity
/// (RFC 8446 §4.2.11), which anybody on the way can read; so it tells nothing about the device, and each key has its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId([u8; LINK_ID_LEN]);

impl LinkId {
    pub(crate) fn new(bytes: [u8; LINK_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as the registry stores them.
    #[must_use]
    pub fn bytes(&self) -> &[u8; LINK_ID_LEN] {
        &self.0
    }

    /// Its digits in ASCII, as they go over the wire and into the key derivation.
    #[must_use]
    pub fn digits(&self) -> [u8; LINK_ID_DIGITS] {
        let mut digits = [0; LINK_ID_DIGITS];
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = [hex::digit(byte >> 4), hex::digit(byte & 15)];
        }
        digits
    }

    /// Reads the PSK identity of a handshake, which may be any bytes.
    ///
    /// # Errors
    /// When it is not 32 lowercase hexadecimal digits.
    pub fn from_digits(digits: &[u8]) -> Result<Self, LinkIdError> {
        if digits.len() != LINK_ID_DIGITS {
            return Err(LinkIdError::Length { len: digits.len() });
        }
        let mut id = Self([0; LINK_ID_LEN]);
        let (pairs, _) = digits.as_chunks::<2>();
        for (place, (byte, [high, low])) in id.0.iter_mut().zip(pairs).enumerate() {
            let high = lowercase_value(*high).ok_or(LinkIdError::Digit { position: 2 * place + 1 })?;
            let low = lowercase_value(*low).ok_or(LinkIdError::Digit { position: 2 * place + 2 })?;
            *byte = high << 4 | low;
        }
        Ok(id)
    }
}

/// Why something is no link id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LinkIdError {
    #[error("a link id has {LINK_ID_DIGITS} hexadecimal digits, and this has {len} bytes")]
    Length { len: usize },
    #[error("a link id has only the digits 0-9 and a-f, and position {position} holds none of them")]
    Digit {
        /// The first such place, counted from 1.
        position: usize,
    },
}

/// Uppercase is refused: each link has one spelling, as the spelling goes into the key.
fn lowercase_value(digit: u8) -> Option<u8> {
    hex::value(digit).filter(|_| !digit.is_ascii_uppercase())
}

impl FromStr for LinkId {
    type Err = LinkIdError;
    fn from_str(text: &str) -> Result<Self, LinkIdError> {
        Self::from_digits(text.as_bytes())
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The pre-shared key of one link, 32 bytes. Zeroized on drop; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Psk([u8; KEY_LEN]);

impl Psk {
    /// The key of a device for one link: `HKDF-SHA256(device key, info = "vitalwire tls13 psk v1" ‖ digits of the link
    /// id)`, 32 bytes (RFC 5869, no salt; PROTOCOL.md §4.7).
    #[must_use]
    pub fn derive(device_key: &[u8; KEY_LEN], link: &LinkId) -> Self {
        let mut psk = Self([0; KEY_LEN]);
        kdf::psk(device_key, &link.digits(), &mut psk.0);
        psk
    }

    /// The key, for the TLS library or a person's label.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

/// A link id and its key: all that a device stores, and all that it needs to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The PSK identity.
    pub id: LinkId,
    /// The pre-shared key.
    pub psk: Psk,
}

/// The link before the last rotation, which works until the new one is first used or its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousLink {
    /// What the device may still use.
    pub link: Link,
    /// From this moment on it is refused.
    pub valid_until: SystemTime,
}

/// The links of a device that is enrolled for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkKeys {
    /// The newest.
    pub current: Link,
    /// The one before, while a rotation is pending.
    pub previous: Option<PreviousLink>,
}

impl LinkKeys {
    /// The key of the link, and whether it is the current one; `None` when the link is none of these or is no longer
    /// valid at `now`.
    #[must_use]
    pub fn find(&self, id: &LinkId, now: SystemTime) -> Option<(&Psk, bool)> {
        if self.current.id == *id {
            return Some((&self.current.psk, true));
        }
        let previous = self.previous.as_ref()?;
        (previous.link.id == *id && now < previous.valid_until).then_some((&previous.link.psk, false))
    }

    /// The ids of all links, whether still valid or not.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LinkId> {
        let previous = self.previous.as_ref().map(|previous| previous.link.id);
        std::iter::once(self.current.id).chain(previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn reads_and_writes_32_lowercase_digits() {
        let id: LinkId = DIGITS.parse().unwrap();
        assert_eq!(id.bytes()[..3], [0x00, 0x11, 0x22]);
        assert_eq!((id.to_string(), format!("{id:?}")), (DIGITS.to_owned(), DIGITS.to_owned()));
        assert_eq!(id.digits(), DIGITS.as_bytes());
    }

    #[test]
    fn refuses_every_cut_and_every_byte_that_is_no_lowercase_digit() {
        for len in 0..LINK_ID_DIGITS {
            assert_eq!(DIGITS[..len].parse::<LinkId>(), Err(LinkIdError::Length { len }));
        }
        let long = format!("{DIGITS}0");
        assert_eq!(long.parse::<LinkId>(), Err(LinkIdError::Length { len: 33 }));
        for place in 0..LINK_ID_DIGITS {
            for byte in 0..=u8::MAX {
                let mut digits = DIGITS.as_bytes().to_vec();
                digits[place] = byte;
                let read = LinkId::from_digits(&digits);
                if byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) {
                    assert_eq!(read.unwrap().digits().as_slice(), digits);
                } else {
                    assert_eq!(read, Err(LinkIdError::Digit { position: place + 1 }));
                }
            }
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let link = Link { id: DIGITS.parse().unwrap(), psk: Psk([0xab; 32]) };
        assert_eq!(format!("{link:?}"), format!("Link {{ id: {DIGITS}, psk: Psk(..) }}"));
    }

    #[test]
    fn the_previous_link_is_found_until_its_last_moment_only() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        let link = |byte| Link { id: LinkId([byte; 16]), psk: Psk([byte; 32]) };
        let previous = Some(PreviousLink { link: link(1), valid_until: now });
        let keys = LinkKeys { current: link(2), previous };
        let before = now - std::time::Duration::from_nanos(1);
        assert_eq!(keys.find(&LinkId([2; 16]), now), Some((&Psk([2; 32]), true)));
        assert_eq!(keys.find(&LinkId([1; 16]), before), Some((&Psk([1; 32]), false)));
        assert_eq!(keys.find(&LinkId([1; 16]), now), None);
        assert_eq!(keys.find(&LinkId([3; 16]), before), None);
    }
}
