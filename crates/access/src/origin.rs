//! From which web sites browsers may come. A browser lets any page that it shows open a WebSocket to us, and says in
//! `Origin` whose page it is (RFC 6455 §10.2); without a check, a page of a stranger could try passwords from within the
//! reader's network. Programs that are no browsers send no `Origin`, and are not concerned.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A web site: scheme, host and port, as in `https://ward.example:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// A text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no web site's origin; write it as https://HOST or https://HOST:PORT, without a path")]
pub struct OriginError(String);

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        (!text.is_empty() && text.chars().all(allowed)).then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            // RFC 6761 §6.3: browsers take these for loopback without asking.
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// Host and port of `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`.
fn authority(text: &str) -> Option<(Host, Option<u16>)> {
    match text.rsplit_once(':') {
        // Not the colon within an address of IPv6.
        Some((host, port)) if !port.ends_with(']') => Some((Host::parse(host)?, Some(port.parse().ok()?))),
        _ => Some((Host::parse(text)?, None)),
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let parsed = text.split_once("://").and_then(|(scheme, rest)| {
            let scheme = scheme.to_ascii_lowercase();
            let default = match scheme.as_str() {
                "http" => 80,
                "https" => 443,
                _ => return None,
            };
            let (host, port) = authority(rest)?;
            Some(Self { scheme, host, port: port.filter(|port| *port != default) })
        });
        parsed.ok_or_else(|| OriginError(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(address) => write!(f, "{address}")?,
            Host::Name(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The web sites that browsers may come from, beside those that always may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(Vec<Origin>);

impl FromStr for Origins {
    type Err = OriginError;

    /// Reads them with commas between them.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        text.split(',').map(|one| one.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(Origin::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

impl From<Vec<Origin>> for Origins {
    fn from(origins: Vec<Origin>) -> Self {
        Self(origins)
    }
}

impl Origins {
    /// Whether a request may come with this `Origin` to this `Host` (the headers' values): when there is no `Origin`, when
    /// it is listed, of the same machine as the browser, or of the address that was asked for.
    ///
    /// A *name* that was asked for proves nothing: its owner may let it point at us after their page is loaded (DNS
    /// rebinding). So a site with a name is listed.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let Ok(origin) = origin.parse::<Origin>() else { return false };
        let is_address_asked_for = || match (&origin.host, host.and_then(authority)) {
            (Host::Address(origin), Some((Host::Address(host), _))) => *origin == host,
            _ => false,
        };
        self.0.contains(&origin) || origin.host.is_loopback() || is_address_asked_for()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_sites_loopback_and_the_address_asked_for_are_allowed() {
        let listed = ["https://ward.example", "http://10.0.0.9:8080"].map(|text| text.parse().unwrap());
        let origins = Origins::from(listed.to_vec());
        for (origin, host, allowed) in [
            (None, None, true),
            (Some("https://ward.example"), Some("other:1"), true),
            (Some("HTTPS://Ward.Example:443"), None, true),
            (Some("https://ward.example:8443"), None, false),
            (Some("http://ward.example"), Some("ward.example"), false),
            (Some("https://ward.example.evil.example"), None, false),
            (Some("https://evil.example"), Some("evil.example"), false),
            (Some("http://localhost:3000"), None, true),
            (Some("http://page.localhost"), None, true),
            (Some("http://127.0.0.1:9"), Some("127.0.0.1:8083"), true),
            (Some("http://[::1]"), None, true),
            (Some("http://localhost.evil.example"), None, false),
            (Some("http://192.0.2.5"), Some("192.0.2.5:8083"), true),
            (Some("http://192.0.2.5"), Some("192.0.2.6:8083"), false),
            (Some("http://[2001:db8::5]:1"), Some("[2001:db8::5]:8083"), true),
            (Some("http://10.0.0.9:8080"), None, true),
            (Some("http://10.0.0.9"), None, false),
            (Some("null"), Some("127.0.0.1"), false),
            (Some("file://"), None, false),
            (Some(""), None, false),
            (Some("http://user@127.0.0.1"), None, false),
        ] {
            assert_eq!(origins.allow(origin, host), allowed, "{origin:?} at {host:?}");
        }
    }

    #[test]
    fn an_origin_is_shown_as_it_is_written_and_others_are_refused() {
        for text in ["https://ward.example", "http://10.0.0.9:8080", "https://[2001:db8::1]:8443"] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
        for wrong in ["ward.example", "https://", "https://a/b", "https://a:x", "ws://a", "*", "https://a b"]
        {
            assert_eq!(wrong.parse::<Origin>(), Err(OriginError(wrong.to_owned())));
        }
    }
}
