//! Tokens by which programs ask the dashboard's API: each of a role of its own, and with an end. The registry keeps what proves that a
//! token is right, and no token.

use std::fmt;
use std::time::SystemTime;

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use vitalwire_access::{Role, UserName};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::hex;

/// What each token begins with, so that one that lies where it should not can be found and told from other secrets.
const PREFIX: &str = "vwt_";
/// Random bytes in a token.
const SECRET_LEN: usize = 32;

/// What is kept of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl TokenHash {
    /// Of what someone says is a token. A fast hash is enough, for there is nothing to guess in 256 random bits.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A token as its program has it.
pub struct TokenSecret(Zeroizing<String>);

impl TokenSecret {
    /// Makes a fresh one.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        SysRng.try_fill_bytes(secret.as_mut_slice())?;
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * SECRET_LEN));
        text.push_str(PREFIX);
        for byte in secret.iter() {
            text.push(char::from(hex::digit(byte >> 4)));
            text.push(char::from(hex::digit(byte & 0x0f)));
        }
        Ok(Self(text))
    }

    /// As the program sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// A token as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its name, which no other token has. A user may have it.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// When it was made, to the second.
    pub created_at: SystemTime,
    /// From when on it is none any more, to the second.
    pub ends_at: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_is_another_each_time_and_shows_in_no_debug() {
        let [one, other] = [TokenSecret::generate().unwrap(), TokenSecret::generate().unwrap()];
        assert_eq!((one.expose().len(), &one.expose()[..4]), (68, "vwt_"));
        assert!(one.hash() != other.hash() && one.hash() == TokenHash::of(one.expose()));
        assert_eq!(format!("{one:?} {:?}", one.hash()), "TokenSecret(…) TokenHash(…)");
    }
}
