//! Where a web hook is, as a person writes it: `https://host/path`.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// Longest address, in bytes.
const LEN_MAX: usize = 2_048;

/// The address of a web hook. What its path holds may be a secret: logs and `Debug` show only where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct WebHookUrl {
    is_tls: bool,
    /// In lower case, without brackets.
    host: Box<str>,
    port: u16,
    /// With its query.
    path: Box<str>,
}

/// Why a text is no address of a web hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WebHookUrlError {
    #[error("want https://HOST/PATH, of letters, digits and signs of ASCII")]
    Form,
    #[error("longer than {LEN_MAX} bytes")]
    Long,
    #[error("leave user and password out of the address: the signature shows the receiver who calls")]
    Login,
    #[error("leave out what follows the #: it is not sent")]
    Fragment,
}

impl WebHookUrl {
    /// Whether it is https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The name or address, in lower case, as the settings allow it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// For people: without what may be a secret.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// With the port where it is not the usual one.
    pub(super) fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let usual = if self.is_tls { 443 } else { 80 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{open}{}{close}{port}", self.host)
    }
}

impl FromStr for WebHookUrl {
    type Err = WebHookUrlError;

    fn from_str(text: &str) -> Result<Self, WebHookUrlError> {
        if text.len() > LEN_MAX {
            return Err(WebHookUrlError::Long);
        }
        if text.contains('#') {
            return Err(WebHookUrlError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| WebHookUrlError::Form)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(WebHookUrlError::Form),
        };
        let authority = uri.authority().ok_or(WebHookUrlError::Form)?;
        if authority.as_str().contains('@') {
            return Err(WebHookUrlError::Login);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = match authority.port() {
            // The crate reads `host:` and a port that is too large as no port.
            None if authority.as_str() != authority.host() => return Err(WebHookUrlError::Form),
            None => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.as_u16(),
        };
        if host.is_empty() || port == 0 {
            return Err(WebHookUrlError::Form);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { is_tls, host: host.into(), port, path: path.into() })
    }
}

impl fmt::Display for WebHookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

impl fmt::Debug for WebHookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebHookUrl({})", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> WebHookUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn reads_where_it_is_and_writes_it_again() {
        let one = url("https://Ward.Example/hooks/7?key=secret");
        assert_eq!((one.host(), one.port(), one.path()), ("ward.example", 443, "/hooks/7?key=secret"));
        assert_eq!(one.to_string(), "https://ward.example/hooks/7?key=secret");
        assert_eq!(
            format!("{one:?} {}", one.origin()),
            "WebHookUrl(https://ward.example) https://ward.example"
        );
        let plain = url("http://[::1]:8080");
        assert_eq!((plain.host(), plain.port(), plain.path(), plain.is_tls()), ("::1", 8080, "/", false));
        assert_eq!(plain.authority(), "[::1]:8080");
        for text in
            ["https://a/", "https://a:8443/x?y=z&u", "http://127.0.0.1/%20", "https://[2001:db8::1]/x"]
        {
            assert_eq!(url(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_none_and_what_would_show_a_secret() {
        for (text, error) in [
            ("", WebHookUrlError::Form),
            ("https://", WebHookUrlError::Form),
            ("https:///x", WebHookUrlError::Form),
            ("https://a:0/", WebHookUrlError::Form),
            ("https://a:/", WebHookUrlError::Form),
            ("https://a:99999/", WebHookUrlError::Form),
            ("ftp://a/", WebHookUrlError::Form),
            ("a/hooks", WebHookUrlError::Form),
            ("/hooks", WebHookUrlError::Form),
            ("https://a/\u{e9}\n", WebHookUrlError::Form),
            ("https://a/x\r\nHost: b", WebHookUrlError::Form),
            ("https://me:secret@a/", WebHookUrlError::Login),
            ("https://a/#x", WebHookUrlError::Fragment),
        ] {
            assert_eq!(text.parse::<WebHookUrl>(), Err(error), "{text}");
        }
        assert_eq!(
            format!("https://a/{}", "x".repeat(2_040)).parse::<WebHookUrl>(),
            Err(WebHookUrlError::Long)
        );
    }

    #[test]
    fn any_cut_and_any_changed_byte_is_an_address_that_reads_again_or_an_error() {
        let text = "https://ward.example:8443/hooks/7?key=secret";
        let changed = (0..text.len()).flat_map(|place| (0..=255_u8).map(move |byte| (place, byte)));
        let mut texts: Vec<Vec<u8>> = (0..text.len()).map(|cut| text.as_bytes()[..cut].to_vec()).collect();
        texts.extend(changed.map(|(place, byte)| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = byte;
            bytes
        }));
        for bytes in texts {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Ok(read) = text.parse::<WebHookUrl>() {
                assert_eq!(read.to_string().parse(), Ok(read), "{text}");
            }
        }
    }
}
