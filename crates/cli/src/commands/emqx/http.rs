//! An HTTP client for EMQX's REST API: one connection a request, within a deadline. Sends a key nowhere unencrypted but to this
//! machine.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use vitalwire_emqx::{ApiKey, Method, Request};

use crate::mqtt::names_this_machine;

/// A request with its answer, from the first packet of the connection to the last.
const DEADLINE: Duration = Duration::from_secs(15);
/// Longest answer that is taken: a page of users, or the rights of ten thousand.
const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// Where EMQX's dashboard and REST API are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiUrl {
    tls: bool,
    host: String,
    port: u16,
}

/// Why a text is no address of the API.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiUrlError {
    #[error("write the address of EMQX's dashboard as https://HOST:PORT, usually with port 18083")]
    Form,
    #[error(
        "leave the API key out of the address, where every process list would show it: name its file with --api-key-file"
    )]
    Secret,
    #[error(
        "plain HTTP would send the API key readable over the network: use https://, or run this on EMQX's own machine"
    )]
    Plain,
}

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    fn from_str(text: &str) -> Result<Self, ApiUrlError> {
        if text.contains('@') {
            return Err(ApiUrlError::Secret);
        }
        let uri: Uri = text.parse().map_err(|_| ApiUrlError::Form)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ApiUrlError::Form),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(ApiUrlError::Form)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ApiUrlError::Form);
        }
        if !tls && !names_this_machine(&host) {
            return Err(ApiUrlError::Plain);
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl ApiUrl {
    fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Seconds of `Retry-After`.
    pub(super) retry_after_s: Option<u64>,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Not now; perhaps later.
    #[error("no answer from EMQX: {0}")]
    Connection(String),
    /// Whose certificate no one vouches for.
    #[error(
        "EMQX's certificate is not trusted: {0}. Name who vouches for it with --ca FILE, and the host by a name of the certificate"
    )]
    Certificate(String),
}

/// Asks one EMQX.
pub(super) struct Client {
    url: ApiUrl,
    login: HeaderValue,
    tls: tokio_native_tls::TlsConnector,
}

impl Client {
    /// # Errors
    /// When the CA's file cannot be read.
    pub(super) fn new(url: ApiUrl, key: &ApiKey, ca: Option<&Path>) -> anyhow::Result<Self> {
        let credentials = STANDARD.encode(key.credentials().expose_secret());
        let mut login =
            HeaderValue::from_str(SecretString::from(format!("Basic {credentials}")).expose_secret())?;
        login.set_sensitive(true);
        let mut tls = native_tls::TlsConnector::builder();
        if let Some(path) = ca {
            let pem =
                std::fs::read(path).with_context(|| format!("cannot read the CA {}", path.display()))?;
            let ca = native_tls::Certificate::from_pem(&pem);
            tls.disable_built_in_roots(true).add_root_certificate(
                ca.with_context(|| format!("{} is no certificate in PEM", path.display()))?,
            );
        }
        Ok(Self { url, login, tls: tls.build()?.into() })
    }

    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let asked = tokio::time::timeout(DEADLINE, self.ask_now(request)).await;
        asked
            .unwrap_or_else(|_| Err(NoAnswer::Connection(format!("nothing within {} s", DEADLINE.as_secs()))))
    }

    async fn ask_now(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let stream = TcpStream::connect((self.url.host.as_str(), self.url.port)).await.map_err(connection)?;
        if !self.url.tls {
            return self.exchange(stream, request).await;
        }
        let stream = self.tls.connect(&self.url.host, stream).await.map_err(|error| {
            let text = error.to_string();
            // What OpenSSL says of a certificate is a text; all else may be a server that is just starting.
            if text.contains("certificate") {
                NoAnswer::Certificate(text)
            } else {
                NoAnswer::Connection(text)
            }
        })?;
        self.exchange(stream, request).await
    }

    async fn exchange<S>(&self, stream: S, request: &Request) -> Result<Answer, NoAnswer>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection_task) =
            http1::handshake(TokioIo::new(stream)).await.map_err(connection)?;
        let exchange = async {
            let response = sender.send_request(self.http(request)).await.map_err(connection)?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after_s = retry_after.and_then(|text| text.trim().parse().ok());
            let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
            let body = body.map_err(|error| NoAnswer::Connection(error.to_string()))?.to_bytes();
            Ok(Answer { status, retry_after_s, body })
        };
        // The connection is driven beside the exchange, and dropped with it.
        let driven = async {
            let _ = connection_task.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = exchange => answer,
            () = driven => Err(NoAnswer::Connection("the connection ended".into())),
        }
    }

    fn http(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let method = match request.method {
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Put => hyper::Method::PUT,
            Method::Delete => hyper::Method::DELETE,
        };
        let body = request.body.as_ref().map(|body| Bytes::copy_from_slice(body.expose_secret().as_bytes()));
        let mut http = hyper::Request::builder()
            .method(method)
            .uri(&request.path)
            .header(HOST, self.url.authority())
            .header(AUTHORIZATION, &self.login);
        if body.is_some() {
            http = http.header(CONTENT_TYPE, "application/json");
        }
        http.body(Full::new(body.unwrap_or_default())).expect("paths of the API and a checked host are valid")
    }
}

fn connection(error: impl fmt::Display) -> NoAnswer {
    NoAnswer::Connection(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_refuses_what_would_show_the_key() {
        let url: ApiUrl = "https://emqx.example:18083/".parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.tls), ("https://emqx.example:18083", true));
        assert_eq!("http://[::1]:18083".parse::<ApiUrl>().unwrap().to_string(), "http://[::1]:18083");
        assert_eq!("http://localhost:1".parse::<ApiUrl>().unwrap().port, 1);
        for (text, error) in [
            ("http://emqx.example:18083", ApiUrlError::Plain),
            ("http://172.20.0.20:18083", ApiUrlError::Plain),
            ("https://key:secret@emqx", ApiUrlError::Secret),
            ("mqtts://emqx", ApiUrlError::Form),
            ("emqx:18083", ApiUrlError::Form),
            ("https://emqx/api/v5", ApiUrlError::Form),
            ("https://emqx?x", ApiUrlError::Form),
            ("https://", ApiUrlError::Form),
            ("", ApiUrlError::Form),
        ] {
            assert_eq!(text.parse::<ApiUrl>(), Err(error), "{text}");
        }
    }
}
