//! The live connection (PROTOCOL.md §6.3): one viewer's socket. All that is sent waits in its outbox, so that it costs no one but
//! itself when it does not read.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::{App, Person};
use crate::failure::Failure;
use crate::hub::{TooMany, Viewer};
use crate::limits::VIEWER_PATIENCE;
use crate::message::{self, WATCH_LEN_MAX};
use crate::time::now_us;

/// How often it is said that the server lives, and asked whether the session goes on.
const BEAT: Duration = Duration::from_secs(1);
/// Between two writes: a screen shows no more than some thirty pictures a second.
const PACE: Duration = Duration::from_millis(30);

/// Why the server ends a connection (RFC 6455 §7.4), with a code of ours where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The browser did.
    Theirs = 1000,
    /// The server stops.
    Stopping = 1001,
    /// The user sees other devices now: the page connects again.
    Changed = 1012,
    /// A message that is none.
    NoMessage = 4400,
    /// The session ended.
    LoggedOut = 4401,
}

/// Answers `GET /api/v1/live`.
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    person: Person,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|_| Failure::NoWebSocket)?;
    app.look(&person, app.seen_by(&person)).await;
    let attached = app.hub.attach(&person.user, &app.limits);
    let viewer = attached.map_err(|TooMany| Failure::TooManyLive(person.user.name.clone()))?;
    let seat = Seat { app: Arc::clone(&app), viewer };
    let upgrade = upgrade.max_message_size(WATCH_LEN_MAX).max_frame_size(WATCH_LEN_MAX);
    Ok(upgrade.on_upgrade(move |socket| {
        let tracker = app.live.clone();
        tracker.track_future(serve(seat, person, socket))
    }))
}

/// A viewer's place in the hub; it is given up with this, also when the upgrade never comes.
struct Seat {
    app: Arc<App>,
    viewer: Arc<Viewer>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.app.hub.detach(&self.viewer);
    }
}

type Sink = SplitSink<WebSocket, Message>;

async fn serve(seat: Seat, person: Person, socket: WebSocket) {
    let (app, viewer) = (&seat.app, &seat.viewer);
    let (mut sink, mut stream) = socket.split();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_at = Instant::now();
    let end = loop {
        let sent = tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Binary(bytes))) => match message::watched(&bytes) {
                    Ok(devices) => {
                        viewer.outbox().watch(devices);
                        continue;
                    }
                    Err(_) => break End::NoMessage,
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(_))) => break End::NoMessage,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break End::Theirs,
            },
            () = app.stop.cancelled() => break End::Stopping,
            _ = beat.tick() => {
                match app.user(&person.token).await {
                    None => break End::LoggedOut,
                    Some(user) if user.role != person.user.role => break End::Changed,
                    Some(_) => {}
                }
                app.look(&person, app.seen_by(&person)).await;
                send(&mut sink, viewer, true).await
            }
            () = ready(viewer, next_at) => {
                next_at = Instant::now() + PACE;
                send(&mut sink, viewer, false).await
            }
        };
        if sent.is_err() {
            break End::Theirs;
        }
    };
    drop(seat);
    close(sink, end).await;
}

/// Waits until something waits, and it is time.
async fn ready(viewer: &Viewer, next_at: Instant) {
    tokio::time::sleep_until(next_at).await;
    viewer.arrived.notified().await;
}

/// Sends all that waits.
async fn send(sink: &mut Sink, viewer: &Viewer, is_beat: bool) -> Result<(), ()> {
    let messages = {
        let mut outbox = viewer.outbox();
        let beat = is_beat.then(|| outbox.heartbeat(now_us()));
        beat.into_iter().chain(outbox.take()).collect::<Vec<_>>()
    };
    let all = async {
        for message in messages {
            sink.feed(Message::Binary(message)).await.map_err(drop)?;
        }
        sink.flush().await.map_err(drop)
    };
    tokio::time::timeout(VIEWER_PATIENCE, all).await.unwrap_or(Err(()))
}

async fn close(mut sink: Sink, end: End) {
    let reason = match end {
        End::Theirs => return,
        End::Stopping => "the server stops",
        End::Changed => "what you see has changed",
        End::NoMessage => "that was no message of this version",
        End::LoggedOut => "the session has ended",
    };
    let frame = CloseFrame { code: end as u16, reason: reason.into() };
    // Who does not read finds the connection closed.
    let _ = tokio::time::timeout(BEAT, sink.send(Message::Close(Some(frame)))).await;
}
