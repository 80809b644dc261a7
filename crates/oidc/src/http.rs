//! One request to the provider: look up, connect, TLS, the answer with its body; all within a time and a length. It follows no redirect and
//! asks no proxy. Only the provider that the settings name is asked, and what that names over TLS: it may be in a private network.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use openidconnect::url::{Host, Url};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::url::is_permitted;

/// A request, from the lookup of the name to the end of the answer. Then it has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// One of several addresses of a name. Then the next is tried.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest head of an answer, in bytes. A longer one is a failure.
const HEAD_LEN_MAX: usize = 32 << 10;
/// Longest body. Descriptions and keys of large providers have 10 KiB.
const BODY_LEN_MAX: usize = 256 << 10;

/// Why the provider gave no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HttpError {
    #[error("{0} is plain, and not on this machine: the provider must be asked over https")]
    Plain(String),
    #[error("the name {host} is not known: {cause}")]
    Lookup { host: String, cause: std::io::Error },
    #[error("no connection to {address}: {cause}")]
    Connect { address: SocketAddr, cause: std::io::Error },
    #[error("no TLS with {host}: {cause}; who vouches for its certificate can be named in dashboard.oidc_ca")]
    Tls { host: String, cause: native_tls::Error },
    #[error("it did not answer as HTTP does: {0}")]
    Http(String),
    #[error("its answer is longer than {BODY_LEN_MAX} bytes, or was cut: {0}")]
    Body(String),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
}

/// Why no provider can be asked over TLS.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TlsError {
    #[error(
        "cannot read the certificates {path} of those who vouch for the provider (dashboard.oidc_ca): {cause}"
    )]
    ReadCa { path: String, cause: std::io::Error },
    #[error("{path} (dashboard.oidc_ca): no certificate in PEM: {cause}")]
    Ca { path: String, cause: native_tls::Error },
    #[error("the TLS library does not start: {0}")]
    Library(native_tls::Error),
}

pub(crate) struct Http {
    tls: tokio_native_tls::TlsConnector,
}

impl Http {
    /// TLS 1.2 and 1.3, with the certificates of `ca` instead of the system's.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        let mut tls = native_tls::TlsConnector::builder();
        tls.min_protocol_version(Some(native_tls::Protocol::Tlsv12));
        if let Some(path) = ca {
            let shown = || path.display().to_string();
            let pem = std::fs::read(path).map_err(|cause| TlsError::ReadCa { path: shown(), cause })?;
            let certificate = native_tls::Certificate::from_pem(&pem);
            let certificate = certificate.map_err(|cause| TlsError::Ca { path: shown(), cause })?;
            tls.disable_built_in_roots(true).add_root_certificate(certificate);
        }
        Ok(Self { tls: tls.build().map_err(TlsError::Library)?.into() })
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        tokio::time::timeout(PATIENCE, self.ask_now(request)).await.unwrap_or(Err(HttpError::Late(PATIENCE)))
    }

    async fn ask_now(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url: Url =
            request.uri().to_string().parse().map_err(|error| HttpError::Http(format!("{error}")))?;
        if !is_permitted(&url) {
            return Err(HttpError::Plain(url.origin().ascii_serialization()));
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => url.host_str().unwrap_or_default().to_owned(),
        };
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = connect(&host, port).await?;
        let request = prepared(request, &url)?;
        if url.scheme() == "https" {
            let tls = self.tls.connect(&host, stream).await;
            exchange(tls.map_err(|cause| HttpError::Tls { host, cause })?, request).await
        } else {
            exchange(stream, request).await
        }
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// As a server of HTTP/1.1 wants it: the path alone, and a `Host`.
fn prepared(request: HttpRequest, url: &Url) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
    let (mut head, body) = request.into_parts();
    let wrong = |what: &str| HttpError::Http(format!("the address has no {what}"));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let authority = format!("{}{port}", url.host_str().ok_or_else(|| wrong("host"))?);
    head.uri = path.parse().map_err(|_| wrong("path"))?;
    head.headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|_| wrong("host"))?);
    head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let agent = concat!("vitalwire/", env!("CARGO_PKG_VERSION"));
    head.headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    Ok(hyper::Request::from_parts(head, Full::new(Bytes::from(body))))
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, HttpError> {
    let lookup = |cause| HttpError::Lookup { host: host.to_owned(), cause };
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(lookup)?;
    let mut failure = lookup(std::io::Error::other("it has no address"));
    for address in addresses {
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => return Ok(stream),
            Err(cause) => failure = HttpError::Connect { address, cause },
        }
    }
    Err(failure)
}

async fn exchange<S>(stream: S, request: hyper::Request<Full<Bytes>>) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let failure = |error: hyper::Error| HttpError::Http(error.to_string());
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_LEN_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failure)?;
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(failure)?.into_parts();
        let body = Limited::new(body, BODY_LEN_MAX).collect().await;
        let body = body.map_err(|error| HttpError::Body(error.to_string()))?.to_bytes();
        Ok(HttpResponse::from_parts(head, body.into()))
    };
    // The connection is driven beside the exchange, and dropped with it.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answered => answer,
        () = driven => Err(HttpError::Http("the connection ended".to_owned())),
    }
}
