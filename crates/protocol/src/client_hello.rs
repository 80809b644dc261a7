//! Tells whether the ClientHello that opens a TLS connection is complete, so that a server keeps the bytes of a peer that stops in
//! the middle of it, and no more. It reads the headers of records and of the message; what the message says is for the TLS
//! library.

/// The longest ClientHello that is waited for, with the headers of its records. Ours have about 250 bytes, one with a post-quantum
/// key share and much else less than 2,000.
pub const CLIENT_HELLO_LEN_MAX: usize = 4 * 1024;

/// The content type of a handshake record (RFC 8446 §5.1).
pub(crate) const HANDSHAKE: u8 = 0x16;
/// The first byte of every version of a record.
const VERSION_MAJOR: u8 = 3;
/// Type, version and length.
const RECORD_HEADER_LEN: usize = 5;
/// A record's most bytes without protection.
const RECORD_LEN_MAX: usize = 1 << 14;
/// The message's type (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// The message's type and its length in three bytes.
const MESSAGE_HEADER_LEN: usize = 4;

/// Why a connection does not begin with a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientHelloError {
    /// A record's header is none that TLS has here.
    #[error("byte {at} belongs to no record of a ClientHello")]
    Record {
        /// Its place, counted from 0.
        at: usize,
    },
    /// The handshake message is another one.
    #[error("the first message is of type {0} and no ClientHello")]
    Message(u8),
    /// It is longer than [`CLIENT_HELLO_LEN_MAX`].
    #[error("a ClientHello may take {CLIENT_HELLO_LEN_MAX} bytes, and this one takes more")]
    TooLong,
}

/// Whether `bytes`, all that came since the connection began, hold the whole ClientHello; more may follow it. While they do not, they
/// are fewer than [`CLIENT_HELLO_LEN_MAX`].
///
/// # Errors
/// When they cannot become one, as soon as that shows.
pub fn has_client_hello(bytes: &[u8]) -> Result<bool, ClientHelloError> {
    let (mut at, mut seen, mut header) = (0, 0, [0; MESSAGE_HEADER_LEN]);
    loop {
        let Some(len) = record_len(bytes, at)? else { return Ok(false) };
        let end = at + RECORD_HEADER_LEN + len;
        if end > CLIENT_HELLO_LEN_MAX {
            return Err(ClientHelloError::TooLong);
        }
        let part = bytes.get(at + RECORD_HEADER_LEN..).unwrap_or_default();
        let part = part.get(..len).unwrap_or(part);
        // A message may lie in several records, and its header too.
        for (place, byte) in header.iter_mut().skip(seen).zip(part) {
            *place = *byte;
        }
        let known = seen + part.len();
        let [kind, length @ ..] = header;
        if known > 0 && kind != CLIENT_HELLO {
            return Err(ClientHelloError::Message(kind));
        }
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let total = MESSAGE_HEADER_LEN + if known < MESSAGE_HEADER_LEN { 0 } else { length };
        let behind = match total.saturating_sub(seen + len) {
            0 => 0,
            left => RECORD_HEADER_LEN + left,
        };
        if end + behind > CLIENT_HELLO_LEN_MAX {
            return Err(ClientHelloError::TooLong);
        }
        if part.len() < len {
            return Ok(false);
        }
        (at, seen) = (end, known);
        if seen >= total {
            return Ok(true);
        }
    }
}

/// What the header at this place says; `None` while it is not complete.
fn record_len(bytes: &[u8], at: usize) -> Result<Option<usize>, ClientHelloError> {
    let bad = |place| Err(ClientHelloError::Record { at: at + place });
    match bytes.get(at..).unwrap_or_default() {
        [kind, ..] if *kind != HANDSHAKE => bad(0),
        [_, major, ..] if *major != VERSION_MAJOR => bad(1),
        [_, _, _, high, low, ..] => match usize::from(u16::from_be_bytes([*high, *low])) {
            len @ 1..=RECORD_LEN_MAX => Ok(Some(len)),
            _ => bad(3),
        },
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// A ClientHello of so many bytes behind its header, in records of so many bytes.
    fn hello(len: usize, record_len: usize) -> Vec<u8> {
        let [.., high, middle, low] = len.to_be_bytes();
        let mut message = vec![CLIENT_HELLO, high, middle, low];
        message.extend((0..len).map(|n| n.to_le_bytes()[0]));
        let record = |part: &[u8]| {
            let [.., high, low] = part.len().to_be_bytes();
            [&[HANDSHAKE, 3, 1, high, low], part].concat()
        };
        message.chunks(record_len).flat_map(record).collect()
    }

    #[test]
    fn a_hello_is_complete_with_its_last_byte_and_no_earlier() {
        for (len, record_len) in [(0, 9), (1, 1), (200, 16_384), (200, 7), (200, 1), (3, 2), (4_000, 2_048)] {
            let mut bytes = hello(len, record_len);
            for cut in 0..bytes.len() {
                assert_eq!(has_client_hello(&bytes[..cut]), Ok(false), "{cut} of {len} in {record_len}");
            }
            assert_eq!(has_client_hello(&bytes), Ok(true), "{len} in {record_len}");
            bytes.extend_from_slice(b"and more");
            assert_eq!(has_client_hello(&bytes), Ok(true), "{len} in {record_len}, and more");
        }
    }

    #[test]
    fn what_cannot_become_a_hello_is_refused_with_the_byte_that_shows_it() {
        let record = |at| Err(ClientHelloError::Record { at });
        let cases: [(&[u8], _); 7] = [
            (b"\x17", record(0)),
            (b"\x16\x02", record(1)),
            (b"\x16\x03\x01\0\0", record(3)),
            (b"\x16\x03\x01\x40\x01", record(3)),
            (b"\x16\x03\x01\0\x08\x02", Err(ClientHelloError::Message(2))),
            (b"\x16\x03\x01\0\x01\x01\x15", record(6)),
            (b"\x16\x03\x01\x20\0", Err(ClientHelloError::TooLong)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(has_client_hello(bytes), expected, "{bytes:02x?}");
            assert_eq!(has_client_hello(&bytes[..bytes.len() - 1]), Ok(false), "{bytes:02x?} but the last");
            assert_eq!(has_client_hello(&[bytes, b"\x08"].concat()), expected, "{bytes:02x?} and more");
        }
    }

    #[test]
    fn the_longest_hello_is_taken_and_a_longer_one_is_refused_at_its_length() {
        let longest = CLIENT_HELLO_LEN_MAX - RECORD_HEADER_LEN - MESSAGE_HEADER_LEN;
        assert_eq!(has_client_hello(&hello(longest, 16_384)), Ok(true));
        // Two records take one more header.
        let in_two = hello(longest - RECORD_HEADER_LEN, 2_048);
        assert_eq!((in_two.len(), has_client_hello(&in_two)), (CLIENT_HELLO_LEN_MAX, Ok(true)));
        for (len, record_len) in [(longest + 1, 16_384), (longest, 100), (0xff_ffff, 100)] {
            let bytes = hello(len, record_len);
            let at = RECORD_HEADER_LEN + MESSAGE_HEADER_LEN;
            let refused = Err(ClientHelloError::TooLong);
            assert!((0..bytes.len()).any(|cut| has_client_hello(&bytes[..cut]) == refused), "{len}");
            if len > longest {
                assert_eq!(has_client_hello(&bytes[..at]), refused, "{len} in {record_len}");
            }
        }
    }
}
