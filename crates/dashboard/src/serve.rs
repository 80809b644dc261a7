//! Connections of browsers: how many, how long, how slow.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::response::{IntoResponse as _, Redirect, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use vitalwire_broker::{SslStream, TlsError};

use crate::app::{App, Patience, Peer};
use crate::certificate::Certificate;
use crate::failure::Failure;
use crate::limits::HEAD_BYTES_MAX;
use crate::rest;

/// How long a stop waits for answers under way.
const STOP_PATIENCE: Duration = Duration::from_millis(300);
/// After a failed accept (no file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the stop. A live connection is none of those that are counted here: it has left as its session's.
pub(crate) async fn run(listener: TcpListener, app: Arc<App>) {
    let router = rest::router(Arc::clone(&app));
    let (mut connections, mut by_age) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = app.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                by_age.retain(|connection| !connection.is_finished());
                while by_age.len() >= app.limits.connections_max {
                    by_age.pop_front().inspect(AbortHandle::abort);
                }
                by_age.push_back(connections.spawn(serve(stream, peer, Arc::clone(&app), router.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the dashboard; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    app.live.close();
    let ended = async {
        app.live.wait().await;
        while connections.join_next().await.is_some() {}
    };
    // What is left ends with the set: connections that wait for another request.
    let _ = tokio::time::timeout(STOP_PATIENCE, ended).await;
}

async fn serve(stream: TcpStream, peer: SocketAddr, app: Arc<App>, router: Router) {
    // Waves are small and must not wait for one another.
    let _ = stream.set_nodelay(true);
    let Some(certificate) = &app.certificate else { return answer(stream, peer, &app, router).await };
    match tokio::time::timeout(app.limits.request_patience, greet(stream, certificate)).await {
        Ok(Ok(Greeted::Tls(stream))) => answer(stream, peer, &app, router).await,
        Ok(Ok(Greeted::Plain(stream))) => {
            let elsewhere = Router::new().fallback(to_tls).with_state(Arc::clone(&app));
            answer(stream, peer, &app, elsewhere).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection to the dashboard was not served"),
        Err(_) => tracing::debug!(%peer, "a connection to the dashboard said too little in time"),
    }
}

/// What a browser speaks at an address that has TLS.
enum Greeted {
    Tls(SslStream<TcpStream>),
    /// Someone typed the address without `https://`.
    Plain(TcpStream),
}

async fn greet(stream: TcpStream, certificate: &Certificate) -> Result<Greeted, TlsError> {
    let mut first = [0];
    // At the end of the stream, or an error, the handshake says it.
    let looked = stream.peek(&mut first).await;
    let [byte] = first;
    if looked.is_ok() && byte.is_ascii_alphabetic() {
        return Ok(Greeted::Plain(stream));
    }
    certificate.acceptor().accept(stream).await.map(Greeted::Tls)
}

/// Sends a browser to where it should have come.
async fn to_tls(State(app): State<Arc<App>>, request: Request) -> Response {
    match app.hosts.host(request.uri(), request.headers(), &app.names()) {
        Ok(host) => {
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            Redirect::permanent(&format!("https://{host}{path}")).into_response()
        }
        Err(refusal) => Failure::Refused(refusal).into_response(),
    }
}

async fn answer<S>(stream: S, peer: SocketAddr, app: &App, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = app.limits.request_patience;
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(Patience(patience));
        hyper::service::Service::call(&inner, request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::debug!(%error, "a connection to the dashboard ended");
    }
}
