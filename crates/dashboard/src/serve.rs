//! Connections of browsers: how many, how long, how slow.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::app::{App, Peer};
use crate::limits::{HEAD_BYTES_MAX, HEAD_PATIENCE};
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
                by_age.push_back(connections.spawn(serve(stream, peer, router.clone())));
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

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router) {
    // Waves are small and must not wait for one another.
    let _ = stream.set_nodelay(true);
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        hyper::service::Service::call(&inner, request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::debug!(%error, "a connection to the dashboard ended");
    }
}
