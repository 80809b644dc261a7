//! Tells by the first byte of a connection what the peer speaks; it never looks further and never consumes it.

use crate::client_hello::HANDSHAKE;
use crate::frame;

/// What the first byte of a connection announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detected {
    /// A TLS handshake record.
    Tls,
    /// The paper's AES-CBC frames, which begin with a lowercase hex digit.
    Frames,
    /// Nothing that is spoken here: refuse the peer.
    Unknown,
}

/// Tells what a connection speaks by its first byte.
#[must_use]
pub fn detect(first_byte: u8) -> Detected {
    match first_byte {
        HANDSHAKE => Detected::Tls,
        byte if frame::is_hex_digit(byte) => Detected::Frames,
        _ => Detected::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_has_its_outcome() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0x16 => Detected::Tls,
                b'0'..=b'9' | b'a'..=b'f' => Detected::Frames,
                _ => Detected::Unknown,
            };
            assert_eq!(detect(byte), expected, "first byte {byte:#04x}");
        }
    }
}
