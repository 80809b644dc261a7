//! What joins the two requests of one login. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// 256 random bits that the browser keeps while its person is at the provider.
///
/// `state`, `nonce` and the verifier of PKCE are derived from them, each by a name of its own. The address bar shows the state, the
/// provider sees the nonce, too: neither tells the bits, nor the verifier. So an answer counts only for the browser that began.
pub struct Attempt(Zeroizing<[u8; 32]>);

impl Attempt {
    /// Of fresh random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Of what the browser kept; nothing when that is no attempt.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        bytes.as_slice().try_into().ok().map(Self::new)
    }

    /// For the browser to keep.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.0))
    }

    /// Whether an answer is to this attempt.
    #[must_use]
    pub fn is_state(&self, text: &str) -> bool {
        // No secret: who sends it back has it from the address.
        text == self.state()
    }

    pub(crate) fn state(&self) -> String {
        self.derived("state")
    }

    pub(crate) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// 43 characters, as RFC 7636 §4.1 recommends.
    pub(crate) fn verifier(&self) -> String {
        self.derived("verifier")
    }

    fn derived(&self, what: &str) -> String {
        let mut bytes = Zeroizing::new([0; 32]);
        let hkdf = Hkdf::<Sha256>::new(Some(b"vitalwire oidc login"), &*self.0);
        hkdf.expand(what.as_bytes(), &mut *bytes).expect("32 bytes are at most 255 hashes");
        URL_SAFE_NO_PAD.encode(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_of_one_attempt_and_one_purpose() {
        let (one, other) = (Attempt::new([1; 32]), Attempt::new([2; 32]));
        let all = [&one, &other].map(|attempt| [attempt.state(), attempt.nonce(), attempt.verifier()]);
        let distinct: std::collections::BTreeSet<&String> = all.iter().flatten().collect();
        assert_eq!(distinct.len(), 6);
        assert!(all.iter().flatten().all(|text| text.len() == 43), "256 bits");
        assert!(one.is_state(&one.state()));
        for wrong in ["", &other.state(), &one.nonce(), &one.state().to_lowercase()] {
            assert!(!one.is_state(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_browser_gives_back_what_it_got_and_nothing_else_is_an_attempt() {
        let one = Attempt::new([7; 32]);
        let text = one.to_text();
        assert_eq!(Attempt::from_text(&text).unwrap().state(), one.state());
        for len in 0..text.len() {
            assert!(Attempt::from_text(&text[..len]).is_none(), "cut at {len}");
        }
        for wrong in [format!("{}A", *text), format!("{}=", *text), "é".repeat(21), "A".repeat(100_000)] {
            assert!(Attempt::from_text(&wrong).is_none(), "{wrong:.50}");
        }
    }
}
