//! AES-128-CBC in both variants. The only module of the workspace that names the cipher crate.
//!
//! The chaining is done here and not by the `cbc` crate: its modes own their cipher and end with their message, so
//! that every frame, and in the block-wise variant every block, would cost a key expansion or a copy of the round keys.
//! Here the round keys live as long as the connection and chaining is one exclusive-or. There is no integrity in
//! this mode and none can be added: see PROTOCOL.md.

use core::fmt;
use core::str::FromStr;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Dec, Aes128Enc};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::BLOCK_LEN;

/// How the blocks of a frame are chained. The first block is the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One CBC chain over the blocks of a frame; each frame starts again at the IV. The real device.
    Chained,
    /// Every block starts again at the IV. The paper's software device.
    Blockwise,
}

impl Variant {
    /// Both variants.
    pub const ALL: [Self; 2] = [Self::Chained, Self::Blockwise];

    /// The variant's name, as [`FromStr`] reads it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chained => "chained",
            Self::Blockwise => "blockwise",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no variant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown frame variant: write `chained` (real devices) or `blockwise` (the paper's software device)")]
pub struct ParseVariantError;

impl FromStr for Variant {
    type Err = ParseVariantError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|variant| variant.as_str() == name).ok_or(ParseVariantError)
    }
}

/// The key and the fixed IV of one device. Zeroized on drop; never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct CbcSecret {
    key: [u8; 16],
    iv: [u8; BLOCK_LEN],
}

impl CbcSecret {
    /// A secret of this key and IV.
    #[must_use]
    pub fn new(key: [u8; 16], iv: [u8; BLOCK_LEN]) -> Self {
        Self { key, iv }
    }

    /// The AES-128 key.
    #[must_use]
    pub fn key(&self) -> &[u8; 16] {
        &self.key
    }

    /// The initialisation vector with which every frame begins.
    #[must_use]
    pub fn iv(&self) -> &[u8; BLOCK_LEN] {
        &self.iv
    }
}

impl fmt::Debug for CbcSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CbcSecret(..)")
    }
}

/// Encrypts frames; the chain of a frame is held by [`Chain`].
pub(super) struct Encryptor {
    cipher: Aes128Enc,
    iv: [u8; BLOCK_LEN],
    variant: Variant,
}

/// Where the CBC chain of the frame being written stands.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Chain([u8; BLOCK_LEN]);

impl Encryptor {
    pub(super) fn new(secret: &CbcSecret, variant: Variant) -> Self {
        Self { cipher: Aes128Enc::new(&secret.key.into()), iv: secret.iv, variant }
    }

    pub(super) fn start(&self) -> Chain {
        Chain(self.iv)
    }

    pub(super) fn encrypt(&self, chain: &mut Chain, mut block: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
        xor(&mut block, &chain.0);
        self.cipher.encrypt_block((&mut block).into());
        if self.variant == Variant::Chained {
            chain.0 = block;
        }
        block
    }
}

impl Drop for Encryptor {
    fn drop(&mut self) {
        self.iv.zeroize(); // the cipher clears its own round keys
    }
}

/// Decrypts the blocks of frames, one after the other.
pub(super) struct Decryptor {
    cipher: Aes128Dec,
    iv: [u8; BLOCK_LEN],
    previous: [u8; BLOCK_LEN],
    variant: Variant,
}

impl Decryptor {
    pub(super) fn new(secret: &CbcSecret, variant: Variant) -> Self {
        Self { cipher: Aes128Dec::new(&secret.key.into()), iv: secret.iv, previous: secret.iv, variant }
    }

    /// The next block begins a frame.
    pub(super) fn restart(&mut self) {
        self.previous = self.iv;
    }

    pub(super) fn decrypt(&mut self, ciphertext: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
        let mut block = ciphertext;
        self.cipher.decrypt_block((&mut block).into());
        xor(&mut block, &self.previous);
        if self.variant == Variant::Chained {
            self.previous = ciphertext;
        }
        block
    }
}

impl Drop for Decryptor {
    fn drop(&mut self) {
        self.iv.zeroize(); // the cipher clears its own round keys
        self.previous.zeroize();
    }
}

/// The plaintext of a frame's first block, which both variants share; key expansion included.
pub(crate) fn decrypt_first_block(secret: &CbcSecret, block: &[u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
    let mut block = *block;
    Aes128Dec::new((&secret.key).into()).decrypt_block((&mut block).into());
    xor(&mut block, &secret.iv);
    block
}

fn xor(block: &mut [u8; BLOCK_LEN], with: &[u8; BLOCK_LEN]) {
    for (byte, with) in block.iter_mut().zip(with) {
        *byte ^= with;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_holds_a_key_clears_it_on_drop() {
        fn clears_on_drop<T: ZeroizeOnDrop>() {}
        clears_on_drop::<CbcSecret>();
        clears_on_drop::<Aes128Enc>(); // only with the feature `zeroize` of the crate
        clears_on_drop::<Aes128Dec>();
    }
}
