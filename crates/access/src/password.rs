//! Passwords: their argon2id hashes, and how they are checked. It keeps no password, and `Debug` shows no hash.
//!
//! A check fills 19 MiB of memory. A program that checks many passwords keeps a [`HashMemory`] and uses it again, so that the
//! number of these, not the number of logins, says how much memory they take.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::password_hash::{self, PasswordHasher, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

/// The shortest password, in characters.
pub const PASSWORD_LEN_MIN: usize = 8;
/// The longest password, in bytes: a peer cannot make us hash a megabyte.
pub const PASSWORD_LEN_MAX: usize = 1024;
/// Random bytes in a new hash.
pub const SALT_LEN: usize = 16;
/// The most memory a stored hash may ask for, in KiB. Above it the hash is refused as foreign, so that a tampered one
/// cannot exhaust the server. Our own hashes ask for 19 MiB.
const HASH_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// The most passes over that memory a stored hash may ask for.
const HASH_PASSES_MAX: u32 = 16;
/// The most memory that is kept for the next check, in blocks of 1 KiB: what our own hashes ask for.
const BLOCKS_KEPT_MAX: usize = Params::DEFAULT_M_COST as usize;

/// Why a new password was not hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PasswordError {
    #[error("the password has {len} characters; it needs at least {PASSWORD_LEN_MIN}")]
    TooShort { len: usize },
    #[error("the password has {len} bytes; at most {PASSWORD_LEN_MAX} are taken")]
    TooLong { len: usize },
    /// argon2 refused to work.
    #[error("the password could not be hashed; is there enough memory (19 MiB)?")]
    NotHashed,
}

/// A stored text is no hash that this program checks: not argon2id, damaged, or too costly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no argon2id hash of at most {HASH_MEMORY_KIB_MAX} KiB and {HASH_PASSES_MAX} passes")]
pub struct ForeignHash;

/// The argon2id hash of a password, a PHC string that this program can afford to check.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<str>);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl FromStr for PasswordHash {
    type Err = ForeignHash;

    fn from_str(text: &str) -> Result<Self, ForeignHash> {
        let parsed = password_hash::PasswordHash::new(text).map_err(|_| ForeignHash)?;
        let params = Params::try_from(&parsed).map_err(|_| ForeignHash)?;
        let affordable = params.m_cost() <= HASH_MEMORY_KIB_MAX && params.t_cost() <= HASH_PASSES_MAX;
        let ours = parsed.algorithm == ARGON2ID_IDENT && parsed.hash.is_some();
        if ours && affordable { Ok(Self(text.into())) } else { Err(ForeignHash) }
    }
}

impl PasswordHash {
    /// Hashes a new password. Slow on purpose (19 MiB, tens of milliseconds): never call it on a reactor thread.
    ///
    /// # Errors
    /// When the password is too short or too long, or there is no memory to hash it.
    pub fn new(password: &str, salt: &[u8; SALT_LEN]) -> Result<Self, PasswordError> {
        let len = password.chars().count();
        if len < PASSWORD_LEN_MIN {
            return Err(PasswordError::TooShort { len });
        }
        if password.len() > PASSWORD_LEN_MAX {
            return Err(PasswordError::TooLong { len: password.len() });
        }
        let salt = SaltString::encode_b64(salt).map_err(|_| PasswordError::NotHashed)?;
        let hash = argon(Version::V0x13, Params::DEFAULT).hash_password(password.as_bytes(), &salt);
        Ok(Self(hash.map_err(|_| PasswordError::NotHashed)?.to_string().into()))
    }

    /// The PHC string, to be stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the hashed password. Slow on purpose (tens of milliseconds): never call it on a reactor thread.
    #[must_use]
    pub fn verify(&self, password: &[u8], memory: &mut HashMemory) -> bool {
        self.try_verify(password, memory).unwrap_or(false)
    }

    fn try_verify(&self, password: &[u8], memory: &mut HashMemory) -> password_hash::Result<bool> {
        if password.len() > PASSWORD_LEN_MAX {
            return Ok(false);
        }
        let parsed = password_hash::PasswordHash::new(&self.0)?;
        let (Some(salt), Some(wanted)) = (parsed.salt, parsed.hash) else { return Ok(false) };
        let mut salt_bytes = [0; password_hash::Salt::MAX_LENGTH];
        let salt = salt.decode_b64(&mut salt_bytes)?;
        let version = parsed.version.map_or(Ok(Version::default()), Version::try_from)?;
        let argon = argon(version, Params::try_from(&parsed)?);
        let hashed = password_hash::Output::init_with(wanted.len(), |out| {
            Ok(memory.hash(&argon, password, salt, out)?)
        })?;
        // `Output` compares in constant time.
        Ok(hashed == wanted)
    }
}

/// Algorithm and cost of new hashes: argon2id, 19 MiB, 2 passes, 1 lane (the first choice of the OWASP password storage
/// cheat sheet, and the crate's default). A stored hash carries its own, so raising them here leaves old users alone.
fn argon(version: Version, params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, version, params)
}

/// Memory for checking passwords, one at a time. It grows with the first check to 19 MiB and is then used again.
#[derive(Default)]
pub struct HashMemory {
    blocks: Vec<Block>,
}

impl fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashMemory").field("kib", &self.blocks.len()).finish()
    }
}

impl HashMemory {
    /// Takes as long as [`PasswordHash::verify`] of one of our own hashes, so that a login shows no one which names exist.
    pub fn verify_absent(&mut self, password: &[u8]) {
        if password.len() > PASSWORD_LEN_MAX {
            return;
        }
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        let hashed = self.hash(&argon(Version::V0x13, Params::DEFAULT), password, &[0; SALT_LEN], &mut out);
        std::hint::black_box((hashed.is_ok(), out));
    }

    fn hash(
        &mut self,
        argon: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> argon2::Result<()> {
        let wanted = argon.params().block_count();
        if self.blocks.len() < wanted {
            self.blocks.resize(wanted, Block::new());
        }
        // What an earlier check left in the blocks has no effect: each is written before it is read.
        let hashed = argon.hash_password_into_with_memory(
            password,
            salt,
            out,
            self.blocks.get_mut(..wanted).unwrap_or_default(),
        );
        if self.blocks.len() > BLOCKS_KEPT_MAX {
            self.blocks = Vec::new();
        }
        hashed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_LEN] = *b"sixteen bytes ok";

    fn hash(password: &str) -> PasswordHash {
        PasswordHash::new(password, &SALT).unwrap()
    }

    #[test]
    fn verifies_its_own_password_and_no_other() {
        let (hash, mut memory) = (hash("correct horse"), HashMemory::default());
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hash.verify(b"correct horse", &mut memory));
        for wrong in [&b"correct horsf"[..], b"", &[b'x'; PASSWORD_LEN_MAX + 1]] {
            assert!(!hash.verify(wrong, &mut memory));
        }
    }

    #[test]
    fn memory_used_before_changes_no_answer() {
        let mut memory = HashMemory::default();
        let cheap = cheap("correct horse", 8);
        for _ in 0..3 {
            memory.verify_absent(b"whatever");
            assert!(cheap.verify(b"correct horse", &mut memory));
            assert!(hash("battery staple").verify(b"battery staple", &mut memory));
            assert!(!cheap.verify(b"battery staple", &mut memory));
        }
        assert_eq!(memory.blocks.len(), BLOCKS_KEPT_MAX);
    }

    #[test]
    fn a_costly_hash_is_checked_and_its_memory_given_back() {
        let (costly, mut memory) = (cheap("correct horse", 32 * 1024), HashMemory::default());
        assert!(costly.verify(b"correct horse", &mut memory));
        assert!(memory.blocks.is_empty());
    }

    /// With so much memory and one pass.
    fn cheap(password: &str, memory_kib: u32) -> PasswordHash {
        let params = Params::new(memory_kib, 1, 1, None).unwrap();
        let salt = SaltString::encode_b64(&SALT).unwrap();
        let hash = argon(Version::V0x13, params).hash_password(password.as_bytes(), &salt).unwrap();
        hash.to_string().parse().unwrap()
    }

    #[test]
    fn salts_make_equal_passwords_differ() {
        let other = PasswordHash::new("correct horse", b"another 16 bytes").unwrap();
        assert!(hash("correct horse") != other && other.verify(b"correct horse", &mut HashMemory::default()));
    }

    #[test]
    fn refuses_short_and_long_passwords_counting_characters() {
        let refused = |text: &str| PasswordHash::new(text, &SALT).unwrap_err();
        assert_eq!(refused("1234567"), PasswordError::TooShort { len: 7 });
        assert_eq!(refused("éééé"), PasswordError::TooShort { len: 4 });
        assert_eq!(refused(&"x".repeat(1025)), PasswordError::TooLong { len: 1025 });
        assert!(PasswordHash::new("éééééééé", &SALT).is_ok());
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", hash("correct horse")), "PasswordHash(…)");
    }

    #[test]
    fn refuses_stored_hashes_that_are_foreign_or_cost_too_much() {
        let good = hash("correct horse").as_str().to_owned();
        assert!(good.parse::<PasswordHash>().is_ok());
        for bad in [
            String::new(),
            "plain text".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=19456", "m=4000000"),
            good.replace("t=2", "t=1000"),
            good.rsplit_once('$').unwrap().0.to_owned(),
        ] {
            assert_eq!(bad.parse::<PasswordHash>(), Err(ForeignHash), "{bad}");
        }
    }
}
