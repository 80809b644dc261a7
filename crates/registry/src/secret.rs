//! Device keys before they are sealed, and how fresh ones are made. Nothing here can be printed.

use rand::TryRng;
use rand::rngs::SysRng;
use vitalwire_protocol::CbcSecret;
use zeroize::{Zeroize, Zeroizing};

use crate::device::Protocol;
use crate::error::Result;
use crate::link::{KEY_LEN, Link, LinkId, Psk};

/// The 64 characters that generated AES-CBC keys are made of: each carries exactly 6 bits, so 16 of them carry 96.
const KEY_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The key of a device, for one protocol.
pub(crate) enum Secret {
    AesCbc(CbcSecret),
    Tls(TlsSecret),
}

impl Secret {
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::AesCbc(_) => Protocol::AesCbc,
            Self::Tls(_) => Protocol::Tls,
        }
    }

    pub(crate) fn link(&self) -> Option<&LinkId> {
        match self {
            Self::AesCbc(_) => None,
            Self::Tls(secret) => Some(&secret.link),
        }
    }
}

/// The key of a device for TLS, under its link id. The pre-shared key is derived from it.
pub(crate) struct TlsSecret {
    pub(crate) link: LinkId,
    pub(crate) key: Zeroizing<[u8; KEY_LEN]>,
}

impl TlsSecret {
    pub(crate) fn generate() -> Result<Self> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        SysRng.try_fill_bytes(key.as_mut_slice())?;
        Ok(Self { link: LinkId::new(random_bytes()?), key })
    }

    /// What the device gets.
    pub(crate) fn to_link(&self) -> Link {
        Link { id: self.link, psk: Psk::derive(&self.key, &self.link) }
    }
}

/// Random bytes from the operating system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// A fresh device key and IV: 16 printable ASCII characters each, as the paper's key files hold them, of 64 symbols. The
/// key therefore has 96 bits of entropy, and so has the IV, which is secret too.
pub(crate) fn generate_cbc_secret() -> Result<CbcSecret> {
    let mut key = printable()?;
    let mut iv = printable()?;
    let secret = CbcSecret::new(key, iv);
    key.zeroize();
    iv.zeroize();
    Ok(secret)
}

fn printable() -> Result<[u8; 16]> {
    let bytes: [u8; 16] = random_bytes()?;
    Ok(bytes.map(|byte| KEY_ALPHABET.get(usize::from(byte & 63)).copied().unwrap_or(b'A')))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn generated_keys_are_printable_use_the_whole_alphabet_and_differ() {
        let mut seen = BTreeSet::new();
        let mut symbols = BTreeSet::new();
        for _ in 0..500 {
            let secret = generate_cbc_secret().unwrap();
            assert!(secret.key().iter().chain(secret.iv()).all(u8::is_ascii_graphic));
            assert_ne!(secret.key(), secret.iv());
            symbols.extend(secret.key().iter().chain(secret.iv()).copied());
            assert!(seen.insert(*secret.key()));
        }
        assert_eq!(symbols, KEY_ALPHABET.iter().copied().collect());
    }

    #[test]
    fn generated_links_differ_in_id_and_key() {
        let secrets: Vec<_> = (0..100).map(|_| TlsSecret::generate().unwrap()).collect();
        assert_eq!(secrets.iter().map(|secret| secret.link).collect::<BTreeSet<_>>().len(), 100);
        assert_eq!(secrets.iter().map(|secret| *secret.key).collect::<BTreeSet<_>>().len(), 100);
    }
}
