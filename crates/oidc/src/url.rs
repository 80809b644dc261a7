//! Which addresses of a provider are permitted. Pure.

use std::fmt;
use std::str::FromStr;

use openidconnect::url::{Host, Url};

/// Longest address, in bytes.
const LEN_MAX: usize = 2_048;

/// A provider's name, which is the address below which it describes itself. As it was written: tokens name it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(Box<str>);

/// Why a text is no provider's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IssuerError {
    #[error(
        "want https://HOST or https://HOST/PATH, as the provider writes its own name; http:// for this machine alone"
    )]
    Form,
    #[error("longer than {LEN_MAX} bytes")]
    Long,
    #[error("leave out user, password, what follows a ? and what follows a #: a provider's name has none")]
    More,
}

impl Issuer {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Issuer {
    type Err = IssuerError;

    fn from_str(text: &str) -> Result<Self, IssuerError> {
        if text.len() > LEN_MAX {
            return Err(IssuerError::Long);
        }
        let url: Url = text.parse().map_err(|_| IssuerError::Form)?;
        if !is_permitted(&url) {
            return Err(IssuerError::Form);
        }
        let has_more = url.query().is_some() || url.fragment().is_some();
        if has_more || !url.username().is_empty() || url.password().is_some() {
            return Err(IssuerError::More);
        }
        Ok(Self(text.into()))
    }
}

/// Whether something may be sent there, or a browser: what is not of this machine needs TLS.
pub(crate) fn is_permitted(url: &Url) -> bool {
    let is_here = || match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_here(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_has_tls_or_is_on_this_machine() {
        for fine in [
            "https://login.ward.example",
            "https://login.ward.example:8443/realms/ward",
            "http://127.0.0.1:8080",
            "http://localhost/realms/x",
            "http://[::1]:1",
            "https://10.0.0.1/",
        ] {
            assert_eq!(fine.parse::<Issuer>().unwrap().as_str(), fine);
        }
        for wrong in [
            "",
            "login.ward.example",
            "http://login.ward.example",
            "http://127.0.0.1.ward.example",
            "http://localhost.ward.example",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
        ] {
            assert_eq!(wrong.parse::<Issuer>(), Err(IssuerError::Form), "{wrong}");
        }
        for more in [
            "https://ana@ward.example",
            "https://a:b@ward.example",
            "https://a.example?b",
            "https://a.example#b",
        ] {
            assert_eq!(more.parse::<Issuer>(), Err(IssuerError::More), "{more}");
        }
        let long = format!("https://a.example/{}", "a".repeat(LEN_MAX));
        assert_eq!(long.parse::<Issuer>(), Err(IssuerError::Long));
    }
}
