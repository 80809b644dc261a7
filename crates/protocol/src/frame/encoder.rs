//! Writes JSON texts as frames; it never writes a frame that [`super::FrameDecoder`] would read as another text.

use core::fmt;

use super::cbc::{CbcSecret, Encryptor, Variant};
use super::{BLOCK_LEN, FrameError, JSON_LEN_MAX, PADDING, SEPARATOR, hex, is_text, text_len};

/// Encrypts JSON texts of one device.
pub struct FrameEncoder {
    encryptor: Encryptor,
}

impl FrameEncoder {
    /// An encoder with this secret, chaining blocks as `variant` says.
    #[must_use]
    pub fn new(secret: &CbcSecret, variant: Variant) -> Self {
        Self { encryptor: Encryptor::new(secret, variant) }
    }

    /// Writes `json` as one frame to the start of `out` and returns the frame's length in bytes.
    ///
    /// # Errors
    /// The text is longer than [`JSON_LEN_MAX`], holds a byte that is no ASCII text, does not end in `}`, or would seem
    /// to end earlier; or `out` is too small ([`super::FRAME_LEN_MAX`] bytes always suffice). Then nothing has been
    /// written.
    pub fn encode(&self, json: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        check_ends_once(json)?;
        let blocks = json.len() / BLOCK_LEN + 1;
        let needed = blocks * 33 - 1;
        let too_small = FrameError::OutputTooSmall { needed, available: out.len() };
        let mut out = out.get_mut(..needed).ok_or(too_small)?;
        let mut chain = self.encryptor.start();
        for index in 0..blocks {
            if index > 0 {
                let (separator, rest) = out.split_first_mut().ok_or(too_small)?;
                *separator = SEPARATOR;
                out = rest;
            }
            let block = self.encryptor.encrypt(&mut chain, padded_block(json, index));
            out = hex::write_block(&block, out).ok_or(too_small)?;
        }
        Ok(needed)
    }
}

impl fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameEncoder(..)")
    }
}

/// Refuses a text whose frame would have no end, or one before the text's.
fn check_ends_once(json: &[u8]) -> Result<(), FrameError> {
    if json.len() > JSON_LEN_MAX {
        return Err(FrameError::JsonTooLong { len: json.len() });
    }
    if let Some(offset) = json.iter().position(|byte| !is_text(*byte)) {
        return Err(FrameError::JsonNotText { offset });
    }
    if json.last() != Some(&b'}') {
        return Err(FrameError::JsonWithoutEnd);
    }
    for offset in (BLOCK_LEN..json.len()).step_by(BLOCK_LEN) {
        if json.get(..offset).and_then(text_len).is_some() {
            return Err(FrameError::JsonEndsEarly { offset });
        }
    }
    Ok(())
}

fn padded_block(json: &[u8], index: usize) -> [u8; BLOCK_LEN] {
    let mut block = [PADDING; BLOCK_LEN];
    for (slot, byte) in block.iter_mut().zip(json.iter().skip(index * BLOCK_LEN)) {
        *slot = *byte;
    }
    block
}
