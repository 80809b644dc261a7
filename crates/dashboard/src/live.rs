//! The live connection (PROTOCOL.md §6.3): one viewer's socket. All that is sent waits in its outbox, so that it costs no one but
//! itself when it does not read.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream::SplitSink;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::{App, Person};
use crate::failure::Failure;
use crate::hub::{TooMany, Viewer};
use crate::limits::VIEWER_PATIENCE;
use crate::message::{self, WATCH_LEN_MAX};
use crate::rate::Rate;
use crate::rest::{Routes, Who, says};
use crate::time::now_us;

/// How often it is said that the server lives, and asked whether the session goes on.
const BEAT: Duration = Duration::from_secs(1);
/// Between two writes: a screen shows no more than some thirty pictures a second.
const PACE: Duration = Duration::from_millis(30);
/// A page says little: whose waves it wants. Without these each viewer holds 128 KiB to read into.
const READ_BUFFER_LEN: usize = 4 << 10;
/// What is written at once, unless one message is longer.
const WRITE_BUFFER_LEN: usize = 16 << 10;
/// How long a new viewer waits until it is on record whom it looks at: a registry that cannot be written now keeps no alarm from it.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// After a look that could not be written; meanwhile whoever has the registry gets on.
const LOOK_PAUSE: Duration = Duration::from_secs(60);

/// Why the server ends a connection (RFC 6455 §7.4), with a code of ours where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The browser did.
    Theirs = 1000,
    /// The server stops.
    Stopping = 1001,
    /// The user sees other devices now: the page connects again.
    Changed = 1012,
    /// A message that is none, or too many of them.
    NoMessage = 4400,
    /// The session ended.
    LoggedOut = 4401,
}

pub(crate) fn routes() -> Routes {
    Routes::default().get(
        "/api/v1/live",
        Who::Viewer,
        live,
        says("A WebSocket of binary messages (PROTOCOL.md §6.3).")
            .status(StatusCode::SWITCHING_PROTOCOLS, "the messages follow")
            .status(StatusCode::UPGRADE_REQUIRED, "it was no upgrade to a WebSocket")
            .status(StatusCode::TOO_MANY_REQUESTS, "the user has as many as a user may have"),
    )
}

async fn live(
    State(app): State<Arc<App>>,
    person: Person,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|_| Failure::NoWebSocket)?;
    let mut looking = Looking::new(Instant::now());
    looking.go_on(&app, &person, Instant::now());
    looking.wait().await;
    // Meanwhile it may see other devices, or none.
    let user = app.admitted(&person.pass).ok_or(Failure::LoggedOut)?;
    let person = Person { user, ..person };
    let attached = app.hub.attach(&person.user, &app.limits);
    let viewer = attached.map_err(|TooMany| Failure::TooManyLive(person.user.name.to_string()))?;
    let seat = Seat { app: Arc::clone(&app), viewer };
    let upgrade = upgrade.max_message_size(WATCH_LEN_MAX).max_frame_size(WATCH_LEN_MAX);
    let upgrade = upgrade.read_buffer_size(READ_BUFFER_LEN).write_buffer_size(WRITE_BUFFER_LEN);
    Ok(upgrade.on_upgrade(move |socket| {
        let tracker = app.live.clone();
        tracker.track_future(serve(seat, person, looking, socket))
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

/// Puts on record whom a viewer looks at, beside what is sent: at most one record is under way.
struct Looking {
    under_way: Option<JoinHandle<bool>>,
    next_at: Instant,
}

impl Looking {
    fn new(next_at: Instant) -> Self {
        Self { under_way: None, next_at }
    }

    fn go_on(&mut self, app: &Arc<App>, person: &Person, now: Instant) {
        match self.under_way.take() {
            Some(record) if !record.is_finished() => self.under_way = Some(record),
            Some(record) => {
                self.ended(record.now_or_never().is_some_and(|ended| ended.unwrap_or(false)), now)
            }
            None => {}
        }
        if self.under_way.is_none() && now >= self.next_at {
            self.under_way = app.begin_look(person, app.seen_by(person));
        }
    }

    /// Waits for what is under way, but not for long.
    async fn wait(&mut self) {
        let Some(mut record) = self.under_way.take() else { return };
        match tokio::time::timeout(LOOK_PATIENCE, &mut record).await {
            Ok(ended) => self.ended(ended.unwrap_or(false), Instant::now()),
            Err(_) => self.under_way = Some(record),
        }
    }

    fn ended(&mut self, is_written: bool, now: Instant) {
        if !is_written {
            self.next_at = now + LOOK_PAUSE;
        }
    }
}

async fn serve(seat: Seat, person: Person, mut looking: Looking, socket: WebSocket) {
    let (app, viewer) = (&seat.app, &seat.viewer);
    let (mut sink, mut stream) = socket.split();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut rate, mut next_at) = (Rate::default(), Instant::now());
    let end = loop {
        let sent = tokio::select! {
            message = stream.next() => match message {
                Some(Ok(message)) => match hear(viewer, &message, &mut rate) {
                    Ok(()) => continue,
                    Err(end) => break end,
                },
                Some(Err(_)) | None => break End::Theirs,
            },
            () = app.stop.cancelled() => break End::Stopping,
            _ = beat.tick() => {
                match app.admitted(&person.pass) {
                    None => break End::LoggedOut,
                    Some(user) if user.role != person.user.role => break End::Changed,
                    Some(_) => {}
                }
                looking.go_on(app, &person, Instant::now());
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

/// What the page says.
fn hear(viewer: &Viewer, message: &Message, rate: &mut Rate) -> Result<(), End> {
    // A ping is answered, so that it counts, too.
    if !rate.allow(Instant::now()) {
        return Err(End::NoMessage);
    }
    match message {
        Message::Binary(bytes) => {
            viewer.outbox().watch(message::watched(bytes).map_err(|_| End::NoMessage)?);
            Ok(())
        }
        Message::Ping(_) | Message::Pong(_) => Ok(()),
        Message::Text(_) => Err(End::NoMessage),
        Message::Close(_) => Err(End::Theirs),
    }
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
        End::NoMessage => "that was no message of this version, or one of too many",
        End::LoggedOut => "the session has ended",
    };
    let frame = CloseFrame { code: end as u16, reason: reason.into() };
    // Who does not read finds the connection closed.
    let _ = tokio::time::timeout(BEAT, sink.send(Message::Close(Some(frame)))).await;
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::net::TcpStream;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    use vitalwire_gateway::{AlarmList, FeedItem};
    use vitalwire_testing::PATIENCE;
    use vitalwire_testing::clinic::Clinic;

    use crate::time::{now_ms, now_us};
    use crate::{Dashboard, DashboardConfig};

    async fn connect(dashboard: &Dashboard, user: &str) -> WebSocketStream<TcpStream> {
        let (app, address) = (&dashboard.app, dashboard.address());
        let user = app.logins.user(user).unwrap();
        let token = app.sessions.lock().await.begin(&user, now_ms());
        let mut request = format!("ws://{address}/api/v1/live").into_client_request().unwrap();
        let cookie = format!("{}={}", app.cookie, *token).parse().unwrap();
        request.headers_mut().insert("cookie", cookie);
        request.headers_mut().insert("origin", format!("http://{address}").parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.unwrap().0
    }

    async fn open(clinic: &Clinic) -> Dashboard {
        clinic.registry.add_tls_device(&"bed_1".parse().unwrap()).unwrap();
        clinic.known().await;
        let (key, any) = (clinic.folder.path().join("master-key"), "127.0.0.1:0".parse().unwrap());
        let config = DashboardConfig::new(clinic.data(), key, any);
        Dashboard::start(config, clinic.server()).await.unwrap()
    }

    #[tokio::test]
    async fn a_session_that_is_being_written_keeps_no_heartbeat_from_anyone() {
        let clinic = Clinic::open().await;
        let dashboard = open(&clinic).await;
        let app = &dashboard.app;
        let mut socket = connect(&dashboard, "watcher").await;
        let _disk_is_slow = app.sessions.lock().await;
        let beats = async {
            let mut beats = 0;
            while beats < 3 {
                let bytes = socket.next().await.unwrap().unwrap().into_data();
                beats += usize::from(bytes[0] == 5);
            }
        };
        tokio::time::timeout(PATIENCE, beats).await.expect("heartbeats");
    }

    #[tokio::test]
    async fn a_record_that_waits_for_the_registry_keeps_no_alarm_from_a_viewer() {
        let clinic = Clinic::open().await;
        let dashboard = open(&clinic).await;
        let app = &dashboard.app;
        let (held, is_held) = std::sync::mpsc::channel();
        let (release, is_released) = std::sync::mpsc::channel::<()>();
        let looks = std::sync::Arc::clone(&app.people.looks);
        let holder = std::thread::spawn(move || {
            let _registry = looks.lock().unwrap();
            held.send(()).unwrap();
            let _ = is_released.recv();
        });
        is_held.recv().unwrap();

        let seen = async {
            let mut socket = connect(&dashboard, "watcher").await;
            // After some heartbeats it is on the way that each second takes.
            let (mut beats, mut is_told) = (0, false);
            while beats < 3 || !is_told {
                let bytes = socket.next().await.unwrap().unwrap().into_data();
                beats += usize::from(bytes[0] == 5);
                is_told |= bytes[0] == 4;
                if bytes[0] == 5 && beats == 2 {
                    let list = AlarmList {
                        device: "bed_1".parse().unwrap(),
                        time_us: now_us(),
                        state: vitalwire_vitals::alarm::AlarmState::AlarmPaused,
                        until_us: Some(now_us()),
                        floor: None,
                        alarms: Vec::new(),
                        is_withdrawn: false,
                    };
                    app.hub.take(&FeedItem::Alarms(list.into()));
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("heartbeats and alarms");
        let people = app.people.all().await.unwrap();
        assert_eq!(people.len(), 1, "and who reads does not wait either");
        let recorded =
            || clinic.registry.audit(0, 1_000).unwrap().iter().any(|record| record.kind == "patient-seen");
        assert!(!recorded());
        drop(release);
        holder.join().unwrap();
        vitalwire_testing::until("the look is on record", recorded).await;
    }
}
