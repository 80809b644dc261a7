//! MQTT over WebSocket: the handshake (path `/mqtt`, subprotocol `mqtt`, MQTT 5 §6), and its binary messages as a plain
//! byte stream. Message boundaries mean nothing to MQTT.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{AsHeaderName, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use vitalwire_access::{Origins, Proxies};

const PATH: &str = "/mqtt";
const SUBPROTOCOL: &str = "mqtt";
const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// Read buffer of one connection; clients send little.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What may wait to be written below the gathering stream, which holds 64 KiB itself.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Does the handshake. The caller sets the deadline. Through one of `proxies`, the address that it forwards is told too.
pub(crate) async fn accept(
    socket: TcpStream,
    origins: &Origins,
    proxies: Option<&Proxies>,
    message_bytes_max: usize,
) -> Result<(WebSocketBytes, Option<IpAddr>), Error> {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER_BYTES;
    config.write_buffer_size = 0;
    config.max_write_buffer_size = WRITE_BUFFER_BYTES_MAX;
    config.max_message_size = Some(message_bytes_max);
    config.max_frame_size = Some(message_bytes_max);
    let mut forwarded_for = None;
    #[expect(clippy::result_large_err, reason = "the type is the WebSocket crate's")]
    let callback = |request: &Request, response: Response| {
        if let Some(proxies) = proxies {
            forwarded_for = proxies.forwarded_for(values(request, X_FORWARDED_FOR));
            if forwarded_for.is_none() {
                return Err(refuse(StatusCode::BAD_REQUEST, "this proxy must set X-Forwarded-For"));
            }
        }
        judge(request, response, origins)
    };
    let stream = tokio_tungstenite::accept_hdr_async_with_config(socket, callback, Some(config)).await?;
    Ok((WebSocketBytes { stream, message: Bytes::new() }, forwarded_for))
}

/// The values of a header, but those that are no text.
fn values(request: &Request, name: impl AsHeaderName) -> impl DoubleEndedIterator<Item = &str> {
    request.headers().get_all(name).iter().map(|value| value.to_str().unwrap_or_default())
}

#[expect(clippy::result_large_err, reason = "the type is the WebSocket crate's")]
fn judge(request: &Request, mut response: Response, origins: &Origins) -> Result<Response, ErrorResponse> {
    if request.uri().path() != PATH {
        return Err(refuse(StatusCode::NOT_FOUND, "MQTT is served at the path /mqtt"));
    }
    // Two of either would be two answers to one question.
    let (origin, host) = (values(request, ORIGIN).next(), values(request, HOST).next());
    if values(request, ORIGIN).count() > 1 || !origins.allow(origin, host) {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            "pages of this web site may not connect; see mqtt.origins",
        ));
    }
    let mut offered = values(request, SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(','));
    if !offered.any(|name| name.trim() == SUBPROTOCOL) {
        return Err(refuse(StatusCode::BAD_REQUEST, "the client must offer the subprotocol mqtt"));
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

fn refuse(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

/// See the module.
pub(crate) struct WebSocketBytes {
    stream: WebSocketStream<TcpStream>,
    message: Bytes,
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

impl AsyncRead for WebSocketBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.message.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.message = bytes,
                Some(Ok(Message::Text(_))) => {
                    let why = "MQTT travels in binary messages, the client sent text";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                // The WebSocket crate answers pings itself.
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let len = self.message.len().min(buf.remaining());
        buf.put_slice(&self.message.split_to(len));
        if !self.message.has_remaining() {
            self.message = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(broken)?;
        let message = Message::Binary(Bytes::copy_from_slice(buf));
        Pin::new(&mut self.stream).start_send(message).map_err(broken)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(broken)
    }
}
