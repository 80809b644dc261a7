//! A user of EMQX: a name, what it may do, and what EMQX checks its password by.

use std::fmt;

use pbkdf2::pbkdf2_hmac;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use vitalwire_access::UserName;

/// Iterations of PBKDF2 with HMAC-SHA-256.
pub const HASH_ROUNDS: u32 = 210_000;
/// Random bytes of a salt, as many as EMQX draws itself.
pub const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// What a user of EMQX may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Vitalwire itself: publishes below `Pico/` and `vitalwire/`, reads nothing.
    Gateway,
    /// As at the embedded broker.
    Person(vitalwire_access::Role),
}

/// What EMQX checks a password by: PBKDF2 (RFC 8018) with HMAC-SHA-256 and [`HASH_ROUNDS`] iterations. The salt is the text of its
/// hexadecimal digits, not the bytes that they stand for.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) salt: String,
    pub(crate) hash: String,
}

impl Verifier {
    /// Hashes a password. Slow on purpose, about a tenth of a second.
    #[must_use]
    pub fn new(password: &SecretString, salt: [u8; SALT_LEN]) -> Self {
        let salt = hex(&salt);
        let hash = derive(password, &salt);
        Self { salt, hash }
    }

    /// Whether it is that of this password. As slow as [`Verifier::new`].
    #[must_use]
    pub fn is_of(&self, password: &SecretString) -> bool {
        derive(password, &self.salt) == self.hash
    }

    /// From the digits of a file; `None` when they are not as many as there must be.
    #[must_use]
    pub fn from_digits(salt: &str, hash: &str) -> Option<Self> {
        let is = |text: &str, len: usize| {
            text.len() == 2 * len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        (is(salt, SALT_LEN) && is(hash, HASH_LEN))
            .then(|| Self { salt: salt.to_owned(), hash: hash.to_owned() })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// The digits of the hash.
fn derive(password: &SecretString, salt: &str) -> String {
    let mut hash = [0; HASH_LEN];
    pbkdf2_hmac::<Sha256>(password.expose_secret().as_bytes(), salt.as_bytes(), HASH_ROUNDS, &mut hash);
    hex(&hash)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A user of EMQX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// What its password is checked by.
    pub verifier: Verifier,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pbkdf2_is_that_of_rfc_7914() {
        // RFC 7914 §11.
        for (password, salt, rounds, wanted) in [
            (
                "passwd",
                "salt",
                1,
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
                 49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
            ),
            (
                "Password",
                "NaCl",
                80_000,
                "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
                 a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
            ),
        ] {
            let mut hash = [0; 64];
            pbkdf2_hmac::<Sha256>(password.as_bytes(), salt.as_bytes(), rounds, &mut hash);
            assert_eq!(hex(&hash), wanted);
        }
    }

    #[test]
    fn the_salt_goes_in_as_text() {
        // By Python: hashlib.pbkdf2_hmac("sha256", b"correct horse battery", b"000102030405060708090a0b0c0d0e0f", 210_000).hex()
        let salt = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let verifier = Verifier::new(&SecretString::from("correct horse battery"), salt);
        assert_eq!(verifier.salt, "000102030405060708090a0b0c0d0e0f");
        assert_eq!(verifier.hash, "a0e3e4ece18c8549960c68ceec12e705e78c3cdb0617d22e5acad65070b34fd1");
        assert!(verifier.is_of(&SecretString::from("correct horse battery")));
        assert!(!verifier.is_of(&SecretString::from("correct horse batterz")));
    }

    #[test]
    fn digits_of_another_length_or_alphabet_are_no_verifier() {
        let (salt, hash) = ("0".repeat(32), "f".repeat(64));
        assert!(Verifier::from_digits(&salt, &hash).is_some());
        for (salt, hash) in [(&salt[1..], &*hash), (&*salt, &hash[1..]), (&*salt, &*"F".repeat(64)), ("", "")]
        {
            assert!(Verifier::from_digits(salt, hash).is_none());
        }
    }

    #[test]
    fn neither_salt_nor_hash_is_printed() {
        let verifier = Verifier::from_digits(&"1".repeat(32), &"2".repeat(64)).unwrap();
        assert_eq!(format!("{verifier:?}"), "Verifier(…)");
    }
}
