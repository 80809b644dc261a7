//! The paper's AES-CBC frames: `block *("+" block)`, a block being 32 lowercase hex digits of ciphertext.
//!
//! A frame carries one JSON text padded with `&`. Frames follow each other with nothing between them. This module
//! turns texts into frames and a stream of bytes, cut anywhere, back into texts. It never judges what a text says
//! (see [`crate::sample`]), and it cannot tell a forged frame from a true one: the protocol has no integrity.

mod cbc;
mod decoder;
mod encoder;
mod error;
mod hex;

pub(crate) use cbc::decrypt_first_block;
pub use cbc::{CbcSecret, ParseVariantError, Variant};
pub use decoder::FrameDecoder;
pub use encoder::FrameEncoder;
pub use error::FrameError;
pub(crate) use hex::{BlockDigits, is_hex_digit};

pub use crate::limits::{BLOCK_LEN, BLOCKS_MAX, FRAME_LEN_MAX, JSON_LEN_MAX};

/// Fills the last block; at least one always does, so that the end of a frame shows.
const PADDING: u8 = b'&';

/// Stands between two blocks of one frame.
const SEPARATOR: u8 = b'+';

/// Whether a JSON text of a frame may hold this byte: printable ASCII and JSON's whitespace. What decrypts to another
/// was damaged, or encrypted with another key.
fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')
}

/// The length of the text in `plain` if its last whole block ends a frame: `}` and then one to sixteen `&`.
///
/// No more than the last block can be padding: had an earlier block ended the frame, it would have ended there.
fn text_len(plain: &[u8]) -> Option<usize> {
    let tail = plain.get(plain.len().saturating_sub(BLOCK_LEN)..)?;
    let padding = tail.iter().rev().take_while(|byte| **byte == PADDING).count();
    let text = plain.get(..plain.len() - padding)?;
    (padding > 0 && text.last() == Some(&b'}')).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_with_a_brace_and_at_least_one_ampersand() {
        assert_eq!(text_len(b"{\"a\":\"bcdefghi\"}"), None);
        assert_eq!(text_len(b"{\"a\":\"bcdefgh\"}&"), Some(15));
        assert_eq!(text_len(b"{\"a\":\"bcdefghi\"}&&&&&&&&&&&&&&&&"), Some(16));
        assert_eq!(text_len(b"}&&&&&&&&&&&&&&&"), Some(1));
        assert_eq!(text_len(b"{\"a\":\"bcd&&&&&&&&&&&&&&&&&&&&&&&"), None);
        assert_eq!(text_len(b"&&&&&&&&&&&&&&&&"), None);
        assert_eq!(text_len(b""), None);
    }
}
