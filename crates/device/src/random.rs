//! The device's random source: `ChaCha20` (RFC 8439), whose key comes from everything that two devices or two starts do not
//! share. It reads no hardware: what the firmware sampled is an argument.
//!
//! The RP2040's ring oscillator alone is not for cryptography (RP2040 datasheet §2.17.5). So the key is a hash over it, the
//! seed that the device was made with, and one that the boot before left in flash: as long as one of them is secret
//! and the last is new, so is the key. After each use the key is drawn again, so that a device that is taken apart tells
//! nothing of what it drew before ("fast key erasure").

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use rand_core::{CryptoRng, Error, RngCore};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Bytes of a seed.
pub const SEED_LEN: usize = 32;
/// Bytes that one key gives; a longer draw takes several keys.
const DRAW_LEN_MAX: usize = 64;
/// Sets the keys of this use of SHA-256 apart from all others.
const DOMAIN: &[u8] = b"vitalwire random v1";

/// What a device knows that no other does, and no earlier start of it.
#[derive(Clone, Copy)]
pub struct Entropy<'e> {
    /// The identity's seed: from the enrolment, the same at every start.
    pub identity: &'e [u8; SEED_LEN],
    /// What [`Drbg::next_seed`] gave at the start before, from flash; `None` at the first.
    pub stored: Option<&'e [u8; SEED_LEN]>,
    /// Bits of the ring oscillator and low bits of the ADC, as many as there is time for: 1,024 bits of the oscillator do.
    pub sampled: &'e [u8],
    /// What the clock showed when the samples had been taken, in microseconds.
    pub boot_us: u64,
}

/// The random source. Printing it shows nothing of its state, and its key is zeroized when it is dropped.
pub struct Drbg {
    keyed: ChaCha20Rng,
}

impl Drbg {
    /// A source of its own for everything in `entropy`. Right after, store [`Self::next_seed`]: before it is stored,
    /// nothing may be drawn that must be new.
    #[must_use]
    pub fn new(entropy: &Entropy<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(entropy.identity);
        // Each part has a fixed length or stands last, so that no two inputs hash alike.
        hash.update([u8::from(entropy.stored.is_some())]);
        hash.update(entropy.stored.unwrap_or(&[0; SEED_LEN]));
        hash.update(entropy.boot_us.to_le_bytes());
        hash.update(entropy.sampled);
        let mut key: [u8; SEED_LEN] = hash.finalize().into();
        let keyed = ChaCha20Rng::from_seed(key);
        key.zeroize();
        Self { keyed }
    }

    /// The seed to be stored in flash for the next start.
    pub fn next_seed(&mut self) -> [u8; SEED_LEN] {
        let mut seed = [0; SEED_LEN];
        self.fill_bytes(&mut seed);
        seed
    }
}

impl RngCore for Drbg {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for draw in bytes.chunks_mut(DRAW_LEN_MAX) {
            let mut key = [0; SEED_LEN];
            self.keyed.fill_bytes(&mut key);
            self.keyed.fill_bytes(draw);
            self.keyed = ChaCha20Rng::from_seed(key);
            key.zeroize();
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Drbg {}

impl core::fmt::Debug for Drbg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Drbg(..)")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::HashSet;
    use std::vec;

    use super::*;

    const IDENTITY: [u8; SEED_LEN] = [7; SEED_LEN];

    fn entropy() -> Entropy<'static> {
        Entropy { identity: &IDENTITY, stored: None, sampled: b"samples", boot_us: 12_345 }
    }

    fn drawn(entropy: &Entropy<'_>) -> [u8; 32] {
        Drbg::new(entropy).next_seed()
    }

    #[test]
    fn the_same_entropy_gives_the_same_and_any_difference_another() {
        assert_eq!(drawn(&entropy()), drawn(&entropy()));
        let others = [
            Entropy { identity: &[8; 32], ..entropy() },
            Entropy { stored: Some(&[0; 32]), ..entropy() },
            Entropy { stored: Some(&[1; 32]), ..entropy() },
            Entropy { sampled: b"sample", ..entropy() },
            Entropy { sampled: b"", ..entropy() },
            Entropy { boot_us: 12_346, ..entropy() },
        ];
        let mut seen: HashSet<_> = others.iter().map(drawn).collect();
        assert!(seen.insert(drawn(&entropy())));
        assert_eq!(seen.len(), others.len() + 1);
    }

    #[test]
    fn never_draws_the_same_twice() {
        let mut drbg = Drbg::new(&entropy());
        let words: HashSet<u64> = (0..1_000).map(|_| drbg.next_u64()).collect();
        assert_eq!(words.len(), 1_000);
    }

    #[test]
    fn draws_of_every_length_are_filled() {
        for len in [0, 1, 31, 63, 64, 65, 128, 1_000] {
            let mut bytes = vec![0; len];
            Drbg::new(&entropy()).fill_bytes(&mut bytes);
            let zeros = bytes.iter().filter(|byte| **byte == 0).count();
            assert!(zeros <= len / 16 + 1, "{zeros} zeros in {len} bytes");
        }
    }

    /// The construction, computed from its parts: the first 32 bytes of the key stream are the next key, what follows them
    /// is drawn.
    #[test]
    fn draws_what_its_construction_says() {
        let mut hash = Sha256::new();
        hash.update(b"vitalwire random v1");
        hash.update([7; 32]);
        hash.update([0; 33]);
        hash.update(12_345_u64.to_le_bytes());
        hash.update(b"samples");
        let mut stream = [0; 96];
        ChaCha20Rng::from_seed(hash.finalize().into()).fill_bytes(&mut stream);
        let mut drawn = [0; 64];
        let mut drbg = Drbg::new(&entropy());
        drbg.fill_bytes(&mut drawn);
        assert_eq!(drawn, stream[32..]);
        let key: [u8; 32] = stream[..32].try_into().unwrap();
        ChaCha20Rng::from_seed(key).fill_bytes(&mut stream[..64]);
        assert_eq!(drbg.next_seed(), stream[32..64]);
    }
}
