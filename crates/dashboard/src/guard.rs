//! What every request must be before anyone looks at it: meant for this dashboard, and sent by its own page. Pure: texts in,
//! a verdict out.
//!
//! Another web site's page can make a browser send requests here, with the cookie of the person who sits there, and a name that
//! its owner lets point here after the page is loaded (DNS rebinding) would make that page one of ours. So `Host` must be a name
//! that the dashboard has, and what changes something, or opens a live connection, must say that it comes from the same host. A program
//! with a token need not say it: no page of another site can make a browser send one, and with a token no cookie counts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};

/// Where a browser says how the page that asks is related to us.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Where a browser says what it wants the answer for.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What all answers say to browsers: nothing but our own files, in no frame of others, and no guesses about what a file is.
pub(crate) const ANSWER_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the dashboard is not known by this name; open it by the address that `vitalwire serve` prints, or put the name into \
         dashboard.hosts"
    )]
    Host,
    #[error(
        "a request that changes something must come from the dashboard's own page: `Origin` must be that of `Host`"
    )]
    Origin,
    #[error("the request comes from the page of another web site")]
    Site,
}

/// Further names that browsers may know a dashboard by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames(Vec<String>);

/// A text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host; write HOST or HOST:PORT, with commas between several")]
pub struct HostNamesError(String);

impl FromStr for HostNames {
    type Err = HostNamesError;

    fn from_str(text: &str) -> Result<Self, HostNamesError> {
        let is_host = |host: &str| {
            let allowed =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
            !host.is_empty() && host.chars().all(allowed)
        };
        let host = |one: &str| {
            let host = one.trim().to_ascii_lowercase();
            if is_host(&host) { Ok(host) } else { Err(HostNamesError(one.trim().to_owned())) }
        };
        text.split(',').map(host).collect::<Result<_, _>>().map(Self)
    }
}

impl HostNames {
    /// The first of them: by which the dashboard is told to people.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }
}

impl fmt::Display for HostNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// The names of this dashboard, as browsers write them into `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    listed: Vec<String>,
    /// Whether it speaks TLS itself: then no page of its own came otherwise.
    is_tls: bool,
}

impl Hosts {
    /// Of an address that is listened at, with further names; one without a port is meant without one.
    pub(crate) fn new(address: SocketAddr, others: &HostNames, is_tls: bool) -> Self {
        let own = [address.to_string(), format!("localhost:{}", address.port())];
        // A browser leaves the usual port away.
        let usual = if is_tls { ":443" } else { ":80" };
        let bare = own.iter().filter_map(|host| host.strip_suffix(usual)).map(str::to_owned);
        Self { listed: bare.chain(own.clone()).chain(others.0.iter().cloned()).collect(), is_tls }
    }

    /// Whose host a request asks for, if that is this dashboard. `names` are those of its certificate: they count at every port, for a
    /// browser has checked them, and a container's port is another one outside.
    ///
    /// # Errors
    /// [`Refusal::Host`]
    pub(crate) fn host(&self, uri: &Uri, headers: &HeaderMap, names: &[String]) -> Result<String, Refusal> {
        let host = single(headers, &header::HOST).ok_or(Refusal::Host)?.to_ascii_lowercase();
        let is_named = uri.authority().is_none_or(|named| named.as_str().eq_ignore_ascii_case(&host));
        let is_known = || self.listed.contains(&host) || names.iter().any(|name| is_of(name, &host));
        if is_named && is_known() { Ok(host) } else { Err(Refusal::Host) }
    }

    /// Judges the head of a request.
    ///
    /// # Errors
    /// [`Refusal`]
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        names: &[String],
    ) -> Result<(), Refusal> {
        let host = self.host(uri, headers, names)?;
        let is_safe = *method == Method::GET || *method == Method::HEAD;
        let must_say = (!is_safe || headers.contains_key(header::UPGRADE)) && bearer(headers).is_none();
        match single(headers, &header::ORIGIN) {
            None if must_say || headers.contains_key(header::ORIGIN) => return Err(Refusal::Origin),
            Some(origin) if !self.is_same(origin, &host) => return Err(Refusal::Origin),
            _ => {}
        }
        match single(headers, &FETCH_SITE) {
            None if headers.contains_key(&FETCH_SITE) => Err(Refusal::Site),
            None | Some("same-origin" | "none") => Ok(()),
            // A link that someone followed here: the page comes without its cookie, which is `SameSite=Strict`.
            Some(_) if is_safe && !must_say && single(headers, &FETCH_MODE) == Some("navigate") => Ok(()),
            Some(_) => Err(Refusal::Site),
        }
    }

    fn is_same(&self, origin: &str, host: &str) -> bool {
        // A proxy before us may have TLS.
        let plain = || origin.strip_prefix("http://").filter(|_| !self.is_tls);
        let rest = origin.strip_prefix("https://").or_else(plain);
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    }
}

/// Whether a host, with or without a port, is one that a name of a certificate means.
fn is_of(name: &str, host: &str) -> bool {
    let host = without_port(host);
    match (name.parse::<IpAddr>(), name.strip_prefix("*.")) {
        (Ok(address), _) => host.parse::<IpAddr>().is_ok_and(|asked| asked == address),
        // One label, as browsers take it.
        (Err(_), Some(rest)) => {
            host.split_once('.').is_some_and(|(label, of)| !label.is_empty() && of == rest)
        }
        (Err(_), None) => host == name,
    }
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// What a browser that came over TLS is told, but where the name is that of every machine: never to come otherwise.
pub(crate) fn strict_transport(headers: &HeaderMap) -> Option<(HeaderName, &'static str)> {
    let host = without_port(single(headers, &header::HOST)?).to_ascii_lowercase();
    let is_every_machines = host == "localhost" || host.ends_with(".localhost");
    (!is_every_machines).then_some((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
}

/// The token that a program sent (RFC 6750 §2.1), also when it is none of ours; empty when there are two.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut tokens = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let text = value.to_str().ok()?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let first = tokens.next()?;
    Some(if tokens.next().is_some() { "" } else { first })
}

/// Whether the page that asks came over TLS: a proxy before us has it.
pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
    single(headers, &header::ORIGIN).is_some_and(|origin| origin.starts_with("https://"))
}

/// The value of a header that is there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn judge(method: Method, headers: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let hosts = Hosts::new("127.0.0.1:8080".parse().unwrap(), &"Ward.example".parse().unwrap(), false);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        hosts.check(&method, &"/api/v1/session".parse().unwrap(), &map, &[])
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:8080");
    const ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:8080");

    #[test]
    fn names_are_read_as_they_are_shown() {
        let names: HostNames = "ward.example, ward.example:8443,[::1]:8".parse().unwrap();
        assert_eq!(names.to_string(), "ward.example, ward.example:8443, [::1]:8");
        for wrong in ["", "a,,b", "https://ward.example", "a b"] {
            assert!(wrong.parse::<HostNames>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_its_own_names_open_it() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "ward.example"] {
            assert_eq!(judge(Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["", "127.0.0.1", "127.0.0.1:80", "evil.example:8080", "ward.example:8080", "ward.example."]
        {
            assert_eq!(judge(Method::GET, &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(judge(Method::GET, &[]), Err(Refusal::Host));
        assert_eq!(judge(Method::GET, &[HOST, ("host", "evil.example")]), Err(Refusal::Host));
        let hosts = Hosts::new("127.0.0.1:80".parse().unwrap(), &HostNames::default(), false);
        let map = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("127.0.0.1"))]);
        assert_eq!(hosts.check(&Method::GET, &"/".parse().unwrap(), &map, &[]), Ok(()));
        assert_eq!(
            hosts.check(&Method::GET, &"http://other/".parse().unwrap(), &map, &[]),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn what_changes_something_says_that_it_comes_from_the_page() {
        for method in [Method::POST, Method::DELETE, Method::PUT, Method::OPTIONS] {
            assert_eq!(judge(method.clone(), &[HOST]), Err(Refusal::Origin), "{method}");
            assert_eq!(judge(method, &[HOST, ORIGIN]), Ok(()));
        }
        let secure = [("host", "ward.example"), ("origin", "https://ward.example")];
        assert_eq!(judge(Method::POST, &secure), Ok(()));
        for origin in ["null", "http://localhost:8080", "http://evil.example", "127.0.0.1:8080", ""] {
            assert_eq!(judge(Method::POST, &[HOST, ("origin", origin)]), Err(Refusal::Origin), "{origin}");
            assert_eq!(judge(Method::GET, &[HOST, ("origin", origin)]), Err(Refusal::Origin), "{origin}");
        }
        assert_eq!(judge(Method::POST, &[HOST, ORIGIN, ORIGIN]), Err(Refusal::Origin));
    }

    #[test]
    fn a_live_connection_says_it_too() {
        assert_eq!(judge(Method::GET, &[HOST, ("upgrade", "websocket")]), Err(Refusal::Origin));
        assert_eq!(judge(Method::GET, &[HOST, ORIGIN, ("upgrade", "websocket")]), Ok(()));
    }

    /// As a dashboard with TLS sees it.
    fn judge_tls(method: Method, host: &str, origin: &str) -> Result<(), Refusal> {
        let hosts = Hosts::new("0.0.0.0:443".parse().unwrap(), &HostNames::default(), true);
        let names = ["ward.example", "*.clinic.example", "10.1.2.3", "2001:db8::1"].map(str::to_owned);
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let map = HeaderMap::from_iter([(header::HOST, value(host)), (header::ORIGIN, value(origin))]);
        hosts.check(&method, &"/".parse().unwrap(), &map, &names)
    }

    #[test]
    fn with_tls_the_names_of_the_certificate_open_it_at_every_port_and_no_other() {
        for host in [
            "ward.example",
            "Ward.Example:8443",
            "bed.clinic.example",
            "10.1.2.3:8443",
            "[2001:db8::1]:8443",
            "[2001:DB8:0::1]",
            "localhost",
        ] {
            assert_eq!(judge_tls(Method::GET, host, &format!("https://{host}")), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "ward.example.evil.example",
            "xward.example",
            "clinic.example",
            "a.b.clinic.example",
            ".clinic.example",
            "*.clinic.example.",
            "10.1.2.4",
            "[2001:db8::2]",
            "localhost:8080",
            "",
            ":443",
            "[",
        ] {
            assert_eq!(
                judge_tls(Method::GET, host, &format!("https://{host}")),
                Err(Refusal::Host),
                "{host}"
            );
        }
    }

    #[test]
    fn with_tls_no_page_of_its_own_came_without() {
        let post = |origin| judge_tls(Method::POST, "ward.example", origin);
        assert_eq!(post("https://ward.example"), Ok(()));
        for origin in ["http://ward.example", "https://ward.example:8443", "https://evil.example", "null"] {
            assert_eq!(post(origin), Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn browsers_are_told_to_come_over_tls_for_ever_but_not_to_every_machine() {
        let told = |host: &'static str| {
            let map = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            strict_transport(&map).is_some()
        };
        assert!(told("ward.example:8443") && told("10.1.2.3"));
        for host in ["localhost", "LOCALHOST:8443", "page.localhost:1"] {
            assert!(!told(host), "{host}");
        }
    }

    #[test]
    fn a_program_with_a_token_need_not_say_where_it_comes_from_but_says_no_other_place() {
        const TOKEN: (&str, &str) = ("authorization", "Bearer vwt_0");
        assert_eq!(judge(Method::POST, &[HOST, TOKEN]), Ok(()));
        assert_eq!(judge(Method::GET, &[HOST, TOKEN, ("upgrade", "websocket")]), Ok(()));
        assert_eq!(judge(Method::POST, &[HOST, TOKEN, ORIGIN]), Ok(()));
        assert_eq!(judge(Method::POST, &[("host", "evil.example"), TOKEN]), Err(Refusal::Host));
        assert_eq!(
            judge(Method::POST, &[HOST, TOKEN, ("origin", "http://evil.example")]),
            Err(Refusal::Origin)
        );
        let crossing = [HOST, TOKEN, ("sec-fetch-site", "cross-site")];
        assert_eq!(judge(Method::POST, &crossing), Err(Refusal::Site));
        // A browser sends this by itself for an address with a name and a password in it.
        assert_eq!(judge(Method::POST, &[HOST, ("authorization", "Basic YTpi")]), Err(Refusal::Origin));
    }

    #[test]
    fn a_token_is_found_whatever_else_is_sent() {
        let found = |values: &[&'static str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&map).map(str::to_owned)
        };
        assert_eq!(found(&["Bearer vwt_0"]).as_deref(), Some("vwt_0"));
        assert_eq!(found(&["bearer  vwt_0 "]).as_deref(), Some("vwt_0"));
        assert_eq!(found(&["Basic YTpi", "Bearer x"]).as_deref(), Some("x"));
        for empty in [&["Bearer vwt_0", "Bearer vwt_1"][..], &["Bearer"]] {
            assert_eq!(found(empty).as_deref(), Some(""), "{empty:?}");
        }
        for none in [&["Basic YTpi"][..], &["vwt_0"], &[]] {
            assert_eq!(found(none), None, "{none:?}");
        }
    }

    #[test]
    fn pages_of_other_sites_may_only_link_here() {
        let site = |site, mode| [HOST, ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
        for fine in ["same-origin", "none"] {
            assert_eq!(judge(Method::GET, &site(fine, "cors")), Ok(()));
        }
        for other in ["cross-site", "same-site", "new"] {
            assert_eq!(judge(Method::GET, &site(other, "no-cors")), Err(Refusal::Site), "{other}");
            assert_eq!(judge(Method::GET, &site(other, "navigate")), Ok(()));
            let post = [HOST, ORIGIN, ("sec-fetch-site", other), ("sec-fetch-mode", "navigate")];
            assert_eq!(judge(Method::POST, &post), Err(Refusal::Site));
        }
    }
}
