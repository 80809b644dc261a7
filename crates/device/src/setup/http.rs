//! Requests to the configuration page's server, from bytes to what is wanted (RFC 9110, RFC 9112), and the heads of its
//! answers. It serves three things and nothing else: the page, a save, and the way to the page.

use core::fmt::Write as _;

use heapless::String;

/// Bytes of a request's head, at most.
pub const HEAD_LEN_MAX: usize = 2_048;
/// Bytes of a save, at most; settings that are too long are read, so that the page can say what is wrong.
pub const BODY_LEN_MAX: usize = 1_024;
/// Header fields of a request, at most.
const FIELDS_MAX: usize = 32;
/// Bytes of an answer's head, at most.
pub(super) const ANSWER_HEAD_LEN_MAX: usize = 768;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `GET /`.
    Page,
    /// `GET` of anything at another name: a phone that looks whether it is online.
    WayToPage,
    /// `POST /save`.
    Save {
        /// Bytes of its body.
        body_len: usize,
    },
}

/// Why a request gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    /// No request of HTTP/1.
    #[error("this is not a request that the device understands")]
    Malformed,
    /// The `Host` is not the device's: a page from elsewhere asks through the browser.
    #[error("settings are only taken from the device's own page")]
    ForeignHost,
    #[error("there is only one page: /")]
    NotFound,
    #[error("only {allowed} is answered here")]
    Method { allowed: &'static str },
    #[error("the request did not come to its end in time")]
    TimedOut,
    #[error("the length of the settings is not announced")]
    LengthRequired,
    #[error("{len} bytes of settings are over the limit of {BODY_LEN_MAX}")]
    BodyTooLong { len: usize },
    /// A head over [`HEAD_LEN_MAX`], or of too many fields.
    #[error("the head of the request is over the limit of {HEAD_LEN_MAX} bytes")]
    HeadTooLong,
}

impl Refusal {
    /// Code and reason of the answer (RFC 9110 §15).
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::ForeignHost => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::Method { .. } => "405 Method Not Allowed",
            Self::TimedOut => "408 Request Timeout",
            Self::LengthRequired => "411 Length Required",
            Self::BodyTooLong { .. } => "413 Content Too Large",
            Self::HeadTooLong => "431 Request Header Fields Too Large",
        }
    }
}

/// Reads the head of a request: what it wants, and the length of its head. `Ok(None)`: more bytes are needed. `hosts` are
/// the names that the page is served under, the first of them the one that others are sent to.
///
/// # Errors
/// It gets nothing.
pub fn read_head(bytes: &[u8], hosts: &[&str]) -> Result<Option<(Wanted, usize)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head_len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_LEN_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LEN_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        Err(_) => return Err(Refusal::Malformed),
    };
    wanted(&request, hosts).map(|wanted| Some((wanted, head_len)))
}

fn wanted(request: &httparse::Request<'_, '_>, hosts: &[&str]) -> Result<Wanted, Refusal> {
    let host = only(request, "Host")?;
    let is_own = host.is_some_and(|host| hosts.iter().any(|own| is_same_host(host, own)));
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    match (request.method.unwrap_or_default(), path) {
        ("GET", _) if !is_own => Ok(Wanted::WayToPage),
        ("POST", _) if !is_own => Err(Refusal::ForeignHost),
        ("GET", "/") => Ok(Wanted::Page),
        ("POST", "/save") => Ok(Wanted::Save { body_len: body_len(request)? }),
        (_, "/") => Err(Refusal::Method { allowed: "GET" }),
        (_, "/save") => Err(Refusal::Method { allowed: "POST" }),
        ("GET" | "POST", _) => Err(Refusal::NotFound),
        _ if is_own => Err(Refusal::NotFound),
        _ => Err(Refusal::Method { allowed: "GET" }),
    }
}

/// The value of a field that may come once.
fn only<'b>(request: &httparse::Request<'_, 'b>, name: &str) -> Result<Option<&'b [u8]>, Refusal> {
    let mut values = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let value = values.next().map(|field| field.value);
    if values.next().is_some() { Err(Refusal::Malformed) } else { Ok(value) }
}

/// The length that a body announces (RFC 9112 §6.3).
fn body_len(request: &httparse::Request<'_, '_>) -> Result<usize, Refusal> {
    if only(request, "Transfer-Encoding")?.is_some() {
        return Err(Refusal::LengthRequired);
    }
    let length = only(request, "Content-Length")?.ok_or(Refusal::LengthRequired)?;
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Malformed);
    }
    // Digits that are no number of this machine are too many.
    let len = core::str::from_utf8(length).ok().and_then(|length| length.parse().ok()).unwrap_or(usize::MAX);
    if len > BODY_LEN_MAX { Err(Refusal::BodyTooLong { len }) } else { Ok(len) }
}

/// The same name, with or without the port that need not be said.
fn is_same_host(host: &[u8], own: &str) -> bool {
    without_port(host).eq_ignore_ascii_case(without_port(own.as_bytes()))
}

fn without_port(host: &[u8]) -> &[u8] {
    host.strip_suffix(b":80").unwrap_or(host)
}

pub(super) type AnswerHead = String<ANSWER_HEAD_LEN_MAX>;

/// The head of an answer of this status, type and length, with what all of them say. Each ends its connection, and is kept
/// nowhere: what it holds is of use once.
pub(super) fn answer_head(status: &str, content_type: &str, len: usize, more: &[(&str, &str)]) -> AnswerHead {
    let mut head = AnswerHead::new();
    let mut write = || {
        write!(head, "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n")?;
        head.write_str(
            "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
        )?;
        for (name, value) in more {
            write!(head, "{name}: {value}\r\n")?;
        }
        head.write_str("\r\n")
    };
    // The longest is a page's, whose parts are constants of the build; a test asserts its length.
    let _ = write();
    head
}

#[cfg(test)]
mod tests;
