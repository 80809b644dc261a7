//! Finds out by trial decryption whose frames a connection carries, and in which variant.
//!
//! A frame carries no device id, so the gateway tries the enrolled secrets: first the cheap test of one block
//! ([`first_block_fits`]), then, for the one or two that pass, a whole frame ([`identify_variant`]). Nothing here
//! keeps state or limits how often it is called: that is the gateway's duty.

use crate::frame::{
    BLOCK_LEN, BlockDigits, CbcSecret, FrameDecoder, FrameError, Variant, decrypt_first_block,
};
use crate::sample::{Channel, Sample};

/// The ciphertext of the first block of a connection; `None` until its 32 digits have come.
///
/// # Errors
/// The bytes are no hex digits: the peer speaks something else.
pub fn first_block(bytes: &[u8]) -> Result<Option<[u8; BLOCK_LEN]>, FrameError> {
    let mut input = bytes;
    BlockDigits::default().take(&mut input, 0)
}

/// Whether `block`, the first of a connection, decrypts with `secret` to `{"` and one of the seven quoted keys.
///
/// Another key passes by chance once in 2⁵⁴ trials. Key expansion is part of the cost.
#[must_use]
pub fn first_block_fits(secret: &CbcSecret, block: &[u8; BLOCK_LEN]) -> bool {
    let plain = decrypt_first_block(secret, block);
    let Some(rest) = plain.strip_prefix(b"{\"") else { return false };
    Channel::ALL.iter().any(|channel| {
        rest.strip_prefix(channel.json_key().as_bytes()).is_some_and(|rest| rest.first() == Some(&b'"'))
    })
}

/// The variant in which `bytes`, from the start of a connection, hold a sample under `secret`; `None` until the
/// first frame is whole.
///
/// Costs at most 128 block decryptions a call, however long `bytes` is.
///
/// # Errors
/// In neither variant do the bytes begin with a frame that holds a sample. The error is that of the variant that came
/// further towards one.
pub fn identify_variant(secret: &CbcSecret, bytes: &[u8]) -> Result<Option<Variant>, FrameError> {
    let [chained, blockwise] = Variant::ALL.map(|variant| first_sample(secret, variant, bytes));
    match (chained, blockwise) {
        (Ok(true), _) => Ok(Some(Variant::Chained)),
        (_, Ok(true)) => Ok(Some(Variant::Blockwise)),
        (Ok(false), _) | (_, Ok(false)) => Ok(None),
        (Err(FrameError::Unterminated { .. } | FrameError::NotText { .. }), Err(error))
        | (Err(error), Err(_)) => Err(error),
    }
}

/// Whether `bytes` begin with a sample in this variant; `Ok(false)` when more bytes are needed.
fn first_sample(secret: &CbcSecret, variant: Variant, bytes: &[u8]) -> Result<bool, FrameError> {
    let mut input = bytes;
    let mut decoder = FrameDecoder::new(secret, variant);
    let Some(text) = decoder.next(&mut input)? else { return Ok(false) };
    match Sample::parse(text) {
        Ok(_) => Ok(true),
        Err(error) => Err(FrameError::NotASample { len: text.len(), error }),
    }
}
