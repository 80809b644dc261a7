//! `ClientHello` and `ServerHello` (RFC 8446 §4.1): what was offered and what was agreed.

use std::ops::Range;

use crate::bytes::Bytes;

const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
/// A `ServerHello` with this random value asks for another `ClientHello` (RFC 8446 §4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What matters of a `ServerHello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHello {
    pub(crate) version: u16,
    pub(crate) suite: u16,
    /// The server took one of the pre-shared keys that the client offered.
    pub(crate) has_psk: bool,
    /// The keys also depend on a fresh (EC)DHE exchange.
    pub(crate) has_key_share: bool,
    pub(crate) is_retry: bool,
}

/// Where in the body of a `ClientHello` the identities of pre-shared keys stand; an empty range when it offers none.
pub(crate) fn psk_identities(body: &[u8]) -> Option<Range<usize>> {
    let mut bytes = Bytes(body);
    bytes.take(2 + 32)?;
    bytes.vector_u8()?;
    bytes.vector_u16()?;
    bytes.vector_u8()?;
    if bytes.0.is_empty() {
        return Some(0..0);
    }
    let mut extensions = Bytes(bytes.vector_u16()?);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.vector_u16()?;
        if kind == PRE_SHARED_KEY {
            let identities = Bytes(content).vector_u16()?;
            // All are parts of `body`, so their addresses tell where.
            let start = identities.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
            return Some(start..start + identities.len());
        }
    }
    Some(0..0)
}

/// Reads the body of a `ServerHello`.
pub(crate) fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut bytes = Bytes(body);
    let mut version = bytes.u16()?;
    let is_retry = bytes.array::<32>()? == HELLO_RETRY_REQUEST;
    bytes.vector_u8()?;
    let suite = bytes.u16()?;
    bytes.u8()?;
    let (mut has_psk, mut has_key_share) = (false, false);
    if !bytes.0.is_empty() {
        let mut extensions = Bytes(bytes.vector_u16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut content = Bytes(extensions.vector_u16()?);
            match kind {
                PRE_SHARED_KEY => has_psk = true,
                SUPPORTED_VERSIONS => version = content.u16()?,
                KEY_SHARE => has_key_share = true,
                _ => {}
            }
        }
    }
    Some(ServerHello { version, suite, has_psk, has_key_share, is_retry })
}
