//! Users: their role, their scope and the argon2id hash of their password. It never keeps a password, and `Debug` never
//! shows a hash.

use crate::directory::BrokenCause;
use crate::error::{RegistryError, Result};
use crate::secret::random_bytes;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::LazyLock;
use vitalwire_access::{Role, UserName};

/// The shortest password, in characters.
pub const PASSWORD_LEN_MIN: usize = 8;
/// The longest password, in bytes: a peer cannot make us hash a megabyte.
pub const PASSWORD_LEN_MAX: usize = 1024;
/// The most memory a stored hash may ask for at verification, in KiB; above it the row is refused as broken, so that a
/// tampered row cannot exhaust the server. Our own hashes ask for 19 MiB.
const HASH_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// The most passes over that memory a stored hash may ask for.
const HASH_PASSES_MAX: u32 = 16;

/// A user as the registry knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// The password's argon2id hash, a PHC string.
    pub password_hash: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl User {
    /// Whether this is the user's password. Slow on purpose (19 MiB, tens of milliseconds): never call it on a reactor
    /// thread.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        verify(&self.password_hash, password)
    }
}

/// Burns the time that [`User::verify`] takes, so that a login shows no one which names exist. Slow on purpose.
pub fn verify_absent(password: &[u8]) {
    static ABSENT: LazyLock<Option<String>> =
        LazyLock::new(|| random_bytes().ok().and_then(|secret: [u8; 16]| hash(&secret).ok()));
    let hash = ABSENT.as_deref().unwrap_or_default();
    std::hint::black_box(verify(hash, password));
}

fn verify(hash: &str, password: &[u8]) -> bool {
    if password.len() > PASSWORD_LEN_MAX {
        return false;
    }
    PasswordHash::new(hash).is_ok_and(|hash| hasher().verify_password(password, &hash).is_ok())
}

/// Algorithm and cost of new hashes: argon2id, 19 MiB, 2 passes, 1 lane (the first choice of the OWASP password storage
/// cheat sheet, and the crate's default). A stored hash carries its own, so raising them here leaves old users alone.
fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, Params::DEFAULT)
}

fn hash(password: &[u8]) -> Result<String> {
    let salt: [u8; 16] = random_bytes()?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| RegistryError::PasswordHash)?;
    let hash = hasher().hash_password(password, &salt).map_err(|_| RegistryError::PasswordHash)?;
    Ok(hash.to_string())
}

/// Checks the length of a new password and hashes it.
pub(crate) fn hash_new(password: &SecretString) -> Result<String> {
    let text = password.expose_secret();
    let len = text.chars().count();
    if len < PASSWORD_LEN_MIN {
        return Err(RegistryError::PasswordTooShort { len });
    }
    if text.len() > PASSWORD_LEN_MAX {
        return Err(RegistryError::PasswordTooLong { len: text.len() });
    }
    hash(text.as_bytes())
}

/// Checks that a stored hash is one that [`User::verify`] can afford to use.
pub(crate) fn check_stored_hash(hash: &str) -> std::result::Result<(), BrokenCause> {
    let parsed = PasswordHash::new(hash).map_err(|_| BrokenCause::PasswordHash)?;
    let params = Params::try_from(&parsed).map_err(|_| BrokenCause::PasswordHash)?;
    let affordable = params.m_cost() <= HASH_MEMORY_KIB_MAX && params.t_cost() <= HASH_PASSES_MAX;
    let ours = parsed.algorithm == argon2::ARGON2ID_IDENT && parsed.hash.is_some();
    if ours && affordable { Ok(()) } else { Err(BrokenCause::PasswordHash) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(password: &str) -> User {
        let password_hash = hash_new(&SecretString::from(password)).unwrap();
        User { name: "ana".parse().unwrap(), role: Role::Admin, password_hash }
    }

    #[test]
    fn verifies_its_own_password_and_no_other() {
        let user = user("correct horse");
        assert!(user.password_hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(user.verify(b"correct horse"));
        assert!(!user.verify(b"correct horsf"));
        assert!(!user.verify(b""));
        assert!(!user.verify(&[b'x'; PASSWORD_LEN_MAX + 1]));
    }

    #[test]
    fn salts_make_equal_passwords_differ() {
        assert_ne!(user("correct horse").password_hash, user("correct horse").password_hash);
    }

    #[test]
    fn verifying_an_absent_user_runs_a_real_verification() {
        verify_absent(b"whatever");
        verify_absent(&[0xff; PASSWORD_LEN_MAX + 1]);
    }

    #[test]
    fn refuses_short_and_long_passwords_counting_characters() {
        let refused = |text: &str| hash_new(&SecretString::from(text)).unwrap_err();
        assert!(matches!(refused("1234567"), RegistryError::PasswordTooShort { len: 7 }));
        assert!(matches!(refused("éééé"), RegistryError::PasswordTooShort { len: 4 }));
        assert!(matches!(refused(&"x".repeat(1025)), RegistryError::PasswordTooLong { len: 1025 }));
        assert!(hash_new(&SecretString::from("éééééééé")).is_ok());
    }

    #[test]
    fn debug_shows_no_hash() {
        let user = user("correct horse");
        let shown = format!("{user:?}");
        assert!(shown.contains("ana") && !shown.contains("argon2"), "{shown}");
    }

    #[test]
    fn refuses_stored_hashes_that_are_foreign_or_cost_too_much() {
        let good = user("correct horse").password_hash;
        assert_eq!(check_stored_hash(&good), Ok(()));
        for bad in [
            String::new(),
            "plain text".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=19456", "m=4000000"),
            good.replace("t=2", "t=1000"),
            good.rsplit_once('$').unwrap().0.to_owned(),
        ] {
            assert_eq!(check_stored_hash(&bad), Err(BrokenCause::PasswordHash), "{bad}");
        }
    }
}
