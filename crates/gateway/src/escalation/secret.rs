//! The signature by which a receiver knows who calls: HMAC-SHA256 as "Standard Webhooks" has it (standardwebhooks.com), so that
//! receivers have libraries for it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret: the specification's range.
const LEN: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of an id.
const ID_LEN: usize = 16;

/// The secret that the receivers have, too.
#[derive(Clone)]
pub struct HookSecret(Zeroizing<Vec<u8>>);

/// A text is no secret. It does not say the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "want whsec_ and {} to {} random bytes in base64; `echo \"whsec_$(openssl rand -base64 32)\"` makes one",
    LEN.start(),
    LEN.end()
)]
pub struct HookSecretError;

impl FromStr for HookSecret {
    type Err = HookSecretError;

    fn from_str(text: &str) -> Result<Self, HookSecretError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(HookSecretError)?;
        let bytes = Zeroizing::new(STANDARD.decode(digits).map_err(|_| HookSecretError)?);
        if LEN.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(HookSecretError) }
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(…)")
    }
}

impl HookSecret {
    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// The value of the header `webhook-signature`.
    pub(super) fn signature(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        let mac = self.mac(&[id.as_bytes(), b".", timestamp_s.to_string().as_bytes(), b".", body]);
        format!("v1,{}", STANDARD.encode(mac))
    }

    /// The id of what `of` names: always the same, also after a restart, and nothing can be told from it.
    pub(super) fn id(&self, of: &str) -> String {
        let mac = self.mac(&[b"vitalwire delivery ", of.as_bytes()]);
        let digits = mac.iter().take(ID_LEN).map(|byte| format!("{byte:02x}"));
        std::iter::once("msg_".to_owned()).chain(digits).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        // standard-webhooks, spec: "Verifying webhook authenticity", and its libraries' tests.
        let secret: HookSecret = SECRET.parse().unwrap();
        let signature =
            secret.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_id_is_of_what_it_names_and_of_the_secret() {
        let secret: HookSecret = SECRET.parse().unwrap();
        let other: HookSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        assert_eq!(secret.id("a"), secret.id("a"));
        assert_ne!(secret.id("a"), secret.id("b"));
        assert_ne!(secret.id("a"), other.id("a"));
        assert_eq!(secret.id("a").len(), 36);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for text in ["", "whsec_", "whsec_short", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!", &long] {
            let error = text.parse::<HookSecret>().unwrap_err().to_string();
            assert!(error.contains("24 to 64 random bytes") && !error.contains("MfKQ"), "{error}");
        }
        for cut in 0..SECRET.len() {
            assert!(SECRET[..cut].parse::<HookSecret>().is_err(), "{cut}");
        }
        assert_eq!(format!("{:?}", SECRET.parse::<HookSecret>().unwrap()), "HookSecret(…)");
    }
}
