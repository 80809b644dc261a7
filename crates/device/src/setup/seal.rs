//! A save of the configuration page, sealed under the setup key (PROTOCOL.md §5). It knows neither HTTP nor how often a key
//! may be tried.
//!
//! ```text
//! nonce 16 | iv 12 | AES-128-GCM(setup key, iv, "vitalwire setup v1" ‖ nonce, settings in CBOR) | tag 16
//! ```
//!
//! The nonce is the device's, and good for one try: a captured save is useless.

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce, Tag};

use crate::identity::SETUP_KEY_LEN;
use crate::settings::Settings;

/// Bytes of the nonce that the device gives.
pub const NONCE_LEN: usize = 16;
/// Bytes of the initialisation vector that the page draws (NIST SP 800-38D §8.2.2).
pub const IV_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// Bytes of a save, but for the settings.
pub const OVERHEAD_LEN: usize = NONCE_LEN + IV_LEN + TAG_LEN;

const CONTEXT: &[u8; 18] = b"vitalwire setup v1";

/// The parts of a save. Nothing is known of it yet.
#[derive(Debug)]
pub struct Sealed<'b> {
    /// As the page was given it.
    pub nonce: [u8; NONCE_LEN],
    iv: [u8; IV_LEN],
    content: &'b mut [u8],
    tag: [u8; TAG_LEN],
}

impl<'b> Sealed<'b> {
    /// `None`: too short to be one.
    pub fn from_body(body: &'b mut [u8]) -> Option<Self> {
        let (nonce, rest) = body.split_first_chunk_mut()?;
        let (iv, rest) = rest.split_first_chunk_mut()?;
        let (content, tag) = rest.split_last_chunk_mut()?;
        Some(Self { nonce: *nonce, iv: *iv, content, tag: *tag })
    }

    /// The settings in CBOR, in place; `None`: the key is another, or something was altered.
    #[must_use]
    pub fn open(self, setup_key: &[u8; SETUP_KEY_LEN]) -> Option<&'b mut [u8]> {
        let cipher = Aes128Gcm::new(setup_key.into());
        let (iv, tag) = (Nonce::from(self.iv), Tag::from(self.tag));
        cipher.decrypt_in_place_detached(&iv, &context(&self.nonce), self.content, &tag).ok()?;
        Some(self.content)
    }
}

/// Writes a save into `out`, as the page does, and returns its length. An `iv` is never used twice with a key.
pub fn seal(
    settings: &Settings,
    setup_key: &[u8; SETUP_KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    iv: &[u8; IV_LEN],
    out: &mut [u8],
) -> Option<usize> {
    let (nonce_out, rest) = out.split_first_chunk_mut()?;
    let (iv_out, rest) = rest.split_first_chunk_mut()?;
    let len = settings.encode(rest).ok()?;
    let (content, rest) = rest.split_at_mut_checked(len)?;
    let tag_out = rest.first_chunk_mut::<TAG_LEN>()?;
    let cipher = Aes128Gcm::new(setup_key.into());
    let tag = cipher.encrypt_in_place_detached(&Nonce::from(*iv), &context(nonce), content).ok()?;
    (*nonce_out, *iv_out, *tag_out) = (*nonce, *iv, tag.into());
    Some(OVERHEAD_LEN + len)
}

/// What is authenticated besides the settings.
fn context(nonce: &[u8; NONCE_LEN]) -> [u8; CONTEXT.len() + NONCE_LEN] {
    let mut context = [0; CONTEXT.len() + NONCE_LEN];
    if let Some((text, nonce_out)) = context.split_first_chunk_mut() {
        *text = *CONTEXT;
        nonce_out.copy_from_slice(nonce);
    }
    context
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    const KEY: [u8; 16] = [7; 16];

    fn save() -> std::vec::Vec<u8> {
        let settings = Settings::new("a.b", 1, b"n", "").unwrap();
        let mut out = [0; 128];
        let len = seal(&settings, &KEY, &[1; 16], &[2; 12], &mut out).unwrap();
        out[..len].to_vec()
    }

    fn opened(mut save: std::vec::Vec<u8>, key: [u8; 16]) -> Option<std::vec::Vec<u8>> {
        Sealed::from_body(&mut save)?.open(&key).map(|settings| settings.to_vec())
    }

    #[test]
    fn the_right_key_opens_what_was_sealed() {
        assert_eq!(opened(save(), KEY).unwrap(), b"\x84\x63a.b\x01\x41n\x60");
        assert_eq!(opened(save(), [8; 16]), None);
    }

    #[test]
    fn a_flipped_bit_anywhere_opens_nothing() {
        for bit in 0..save().len() * 8 {
            let mut altered = save();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(altered, KEY), None, "bit {bit}");
        }
    }

    #[test]
    fn every_cut_opens_nothing() {
        for len in 0..save().len() {
            assert_eq!(opened(save()[..len].to_vec(), KEY), None, "{len} bytes");
        }
    }
}
