//! One attempt at a web hook: look up, connect, TLS, POST, the head of the answer; all within a time. It follows no redirect, asks no
//! proxy, and reads no body. It decides nothing: see `queue`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::address::permitted;
use super::queue::{Delivery, Outcome};
use super::secret::HookSecret;
use super::url::WebHookUrl;

/// An attempt, from the lookup of the name to the head of the answer. Then it has failed.
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// One of several addresses of a name. Then the next is tried.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest head of an answer, in bytes. A longer one is a failure.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// Why a web hook did not take a delivery.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WebHookFailure {
    #[error("the name {host} is not known: {cause}")]
    Lookup { host: String, cause: std::io::Error },
    #[error("the name {host} has no address")]
    NoAddress { host: String },
    #[error(
        "{host} is at {address}, which is this machine or a private network; if the web hook is meant to be there, allow {host} by \
         name (alarms.webhook_allowed_hosts)"
    )]
    NotPublic { host: String, address: IpAddr },
    #[error(
        "http:// would send it readable; use https://, or allow {host} by name (alarms.webhook_allowed_hosts)"
    )]
    Plain { host: String },
    #[error("no connection to {address}: {cause}")]
    Connect { address: SocketAddr, cause: std::io::Error },
    #[error(
        "its certificate is not trusted: {0}. Name it as its certificate does, or give who vouches for it (alarms.webhook_ca)"
    )]
    Certificate(String),
    #[error("no TLS with it: {0}")]
    Tls(String),
    #[error("it did not answer as HTTP does: {0}")]
    Http(String),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    #[error("it answered {status}, which sends elsewhere; name the address where it is")]
    Redirect { status: StatusCode },
    #[error("it answered {status}")]
    Status { status: StatusCode },
}

impl WebHookFailure {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Status { status: StatusCode::GONE } => Outcome::Gone,
            _ => Outcome::Failed,
        }
    }
}

/// Why there are no web hooks.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WebHookError {
    #[error("cannot read the certificates {path} of those who vouch for web hooks: {cause}")]
    ReadCa { path: String, cause: std::io::Error },
    #[error("{path}: no certificate in PEM: {cause}")]
    Ca { path: String, cause: native_tls::Error },
    #[error("the TLS library does not start: {0}")]
    Tls(native_tls::Error),
}

/// Calls one web hook.
#[derive(Clone)]
pub(super) struct Client {
    url: Arc<WebHookUrl>,
    secret: HookSecret,
    /// The settings allow its host by name, wherever it is, and plain.
    is_allowed_by_name: bool,
    tls: tokio_native_tls::TlsConnector,
    attempt_max: Duration,
}

/// TLS 1.2 and 1.3, with the certificates of `ca` instead of the system's.
pub(super) fn tls(ca: Option<&Path>) -> Result<tokio_native_tls::TlsConnector, WebHookError> {
    let mut tls = native_tls::TlsConnector::builder();
    tls.min_protocol_version(Some(native_tls::Protocol::Tlsv12));
    if let Some(path) = ca {
        let shown = || path.display().to_string();
        let pem = std::fs::read(path).map_err(|cause| WebHookError::ReadCa { path: shown(), cause })?;
        let certificate = native_tls::Certificate::from_pem(&pem);
        let certificate = certificate.map_err(|cause| WebHookError::Ca { path: shown(), cause })?;
        tls.disable_built_in_roots(true).add_root_certificate(certificate);
    }
    Ok(tls.build().map_err(WebHookError::Tls)?.into())
}

impl Client {
    pub(super) fn new(
        url: WebHookUrl,
        secret: HookSecret,
        is_allowed_by_name: bool,
        tls: tokio_native_tls::TlsConnector,
    ) -> Self {
        Self { url: Arc::new(url), secret, is_allowed_by_name, tls, attempt_max: ATTEMPT_MAX }
    }

    #[cfg(test)]
    pub(super) fn patient_for(self, attempt_max: Duration) -> Self {
        Self { attempt_max, ..self }
    }

    /// Where it is, for people.
    pub(super) fn origin(&self) -> String {
        self.url.origin()
    }

    /// Tries once.
    pub(super) async fn attempt(&self, delivery: &Delivery) -> Result<(), WebHookFailure> {
        let attempt = tokio::time::timeout(self.attempt_max, self.attempt_now(delivery));
        attempt.await.unwrap_or(Err(WebHookFailure::Late(self.attempt_max)))
    }

    async fn attempt_now(&self, delivery: &Delivery) -> Result<(), WebHookFailure> {
        let host = self.url.host();
        if !self.url.is_tls() && !self.is_allowed_by_name {
            return Err(WebHookFailure::Plain { host: host.to_owned() });
        }
        let stream = self.connect().await?;
        let status = if self.url.is_tls() {
            let stream = self.tls.connect(host, stream).await.map_err(tls_failure)?;
            self.exchange(stream, delivery).await?
        } else {
            self.exchange(stream, delivery).await?
        };
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(WebHookFailure::Redirect { status }),
            status => Err(WebHookFailure::Status { status }),
        }
    }

    /// Connects to an address that was looked at: a name that is looked up twice can be two addresses.
    async fn connect(&self) -> Result<TcpStream, WebHookFailure> {
        let host = || self.url.host().to_owned();
        let looked_up = tokio::net::lookup_host((self.url.host(), self.url.port())).await;
        let addresses = looked_up.map_err(|cause| WebHookFailure::Lookup { host: host(), cause })?;
        let addresses = permitted(addresses, self.is_allowed_by_name).map_err(|refused| match refused {
            Some(address) => WebHookFailure::NotPublic { host: host(), address },
            None => WebHookFailure::NoAddress { host: host() },
        })?;
        let mut failure = WebHookFailure::NoAddress { host: host() };
        for address in addresses {
            let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
            let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await;
            match connected.unwrap_or_else(|_| Err(late())) {
                Ok(stream) => return Ok(stream),
                Err(cause) => failure = WebHookFailure::Connect { address, cause },
            }
        }
        Err(failure)
    }

    async fn exchange<S>(&self, stream: S, delivery: &Delivery) -> Result<StatusCode, WebHookFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_LEN_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(http_failure)?;
        let exchange = sender.send_request(self.request(delivery));
        // The connection is driven beside the exchange, and dropped with it.
        let driven = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = exchange => answer.map(|answer| answer.status()).map_err(http_failure),
            () = driven => Err(WebHookFailure::Http("the connection ended".to_owned())),
        }
    }

    fn request(&self, delivery: &Delivery) -> Request<Full<Bytes>> {
        let timestamp_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = self.secret.signature(&delivery.id, timestamp_s, &delivery.body);
        Request::builder()
            .method(Method::POST)
            .uri(self.url.path())
            .header(HOST, self.url.authority())
            .header(CONNECTION, "close")
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("vitalwire/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", signature)
            .body(Full::new(delivery.body.clone()))
            .expect("an address that was read, and texts of ASCII")
    }
}

/// What OpenSSL says of a certificate is a text; all else may be a receiver that is just starting.
fn tls_failure(error: native_tls::Error) -> WebHookFailure {
    let text = error.to_string();
    if text.contains("certificate") { WebHookFailure::Certificate(text) } else { WebHookFailure::Tls(text) }
}

fn http_failure(error: impl fmt::Display) -> WebHookFailure {
    WebHookFailure::Http(error.to_string())
}
