//! A clinic with its dashboard, and a browser of a few lines.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use vitalwire_access::{DeviceId, Role, Scope};
use vitalwire_dashboard::{Dashboard, DashboardConfig, DashboardLimits};
use vitalwire_registry::{AlarmEvent, AlarmWrite, Raised, TokenSecret};
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::{PASSWORD, PATIENCE, until};
use vitalwire_vitals::alarm::{BadSignals, Condition, Priority};

/// UTC, milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A clinic with an admin `ana`, a clinician `cora`, a reader of all `watcher`, and a reader of `bed_1` alone, `scoped`.
pub(crate) struct Ward {
    pub(crate) clinic: Clinic,
    pub(crate) dashboard: Dashboard,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Sends these bytes over a connection and reads to the end.
    pub(crate) async fn of(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Self {
        // Who refuses may close before all is written.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {read:?}"));
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: answer[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The cookie that it sets, as a browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

impl Ward {
    pub(crate) async fn open() -> Self {
        Self::with(DashboardLimits::default()).await
    }

    pub(crate) async fn with(limits: DashboardLimits) -> Self {
        Self::configured(|config| config.limits = limits).await
    }

    /// With a dashboard that is set otherwise.
    pub(crate) async fn configured(change: impl FnOnce(&mut DashboardConfig)) -> Self {
        let clinic = Clinic::open().await;
        let password = SecretString::from(PASSWORD);
        for device in ["bed_1", "bed_2"] {
            clinic.registry.add_tls_device(&device.parse().unwrap()).unwrap();
        }
        let scoped = Role::Reader { devices: Scope::Named(["bed_1".parse().unwrap()].into()) };
        let clinician = Role::Clinician { devices: Scope::All };
        for (name, role) in [("ana", Role::Admin), ("cora", clinician), ("scoped", scoped)] {
            clinic.registry.add_user(&name.parse().unwrap(), role, &password).unwrap();
        }
        clinic.known().await;
        let (key, any) = (clinic.folder.path().join("master-key"), "127.0.0.1:0".parse().unwrap());
        let mut config = DashboardConfig::new(clinic.data(), key, any);
        change(&mut config);
        let dashboard = Dashboard::start(config, clinic.server()).await.unwrap();
        Self { clinic, dashboard }
    }

    /// An alarm of the patient at `bed_1`, with the number 1.
    pub(crate) fn raise_first_alarm(&self) {
        let registry = &self.clinic.registry;
        let device: DeviceId = "bed_1".parse().unwrap();
        let raised = Raised {
            condition: Condition::TemperatureHigh,
            priority: Priority::Medium,
            since_us: 1_000,
            delay_us: 0,
            value: Some(39.5),
            limit: Some(38.5),
            bad: BadSignals::NONE,
            is_late: false,
        };
        let stay = Some(registry.current_stay(&device).unwrap().id);
        let event = AlarmEvent::Raised(raised);
        registry
            .write_alarms(&[AlarmWrite { number: 1, device: Some(device), stay, time_us: 2_000, event }])
            .unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.dashboard.address()
    }

    /// Sends these bytes and reads to the end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        Answer::of(TcpStream::connect(self.address()).await.unwrap(), bytes).await
    }

    /// A request with these headers alone.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let len = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n"
        );
        self.raw(format!("{head}{body}").as_bytes()).await
    }

    /// A request as the page sends it.
    pub(crate) async fn ask(&self, method: &str, path: &str, cookie: &str, body: &str) -> Answer {
        let host = self.address().to_string();
        let origin = format!("http://{host}");
        let headers = [
            ("Host", host.as_str()),
            ("Origin", &origin),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "application/json"),
            ("Cookie", cookie),
        ];
        self.request(method, path, &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask("GET", path, cookie, "").await
    }

    /// Logs in; the cookie.
    pub(crate) async fn log_in(&self, user: &str) -> String {
        let body = serde_json::json!({ "user": user, "password": PASSWORD }).to_string();
        let answer = self.ask("POST", "/api/v1/session", "", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.cookie()
    }

    /// A session without a password, which would take its time to check; the cookie.
    pub(crate) async fn session(&self, user: &str) -> String {
        let link = self.dashboard.login_link(&user.parse().unwrap(), Duration::from_secs(600)).await.unwrap();
        let (_, token) = link.split_once("#link=").unwrap();
        let body = serde_json::json!({ "link": token }).to_string();
        self.ask("POST", "/api/v1/session", "", &body).await.cookie()
    }

    /// A token of the role of this user, under its name.
    pub(crate) async fn token(&self, user: &str) -> TokenSecret {
        let (name, secret) = (user.parse().unwrap(), TokenSecret::generate().unwrap());
        let role = self.clinic.server().logins().user(user).unwrap().role.clone();
        let lasts = SystemTime::now()..SystemTime::now() + Duration::from_secs(3_600);
        self.clinic.registry.add_token(&name, &role, &secret, lasts).unwrap();
        let (logins, hash) = (self.clinic.server().logins(), secret.hash());
        let is_known = || logins.directory().borrow().token(&hash, SystemTime::now()).is_some();
        until("the token is known", is_known).await;
        secret
    }

    /// A request as a program with a token sends it.
    pub(crate) async fn with_token(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let (host, bearer) = (self.address().to_string(), format!("Bearer {token}"));
        let headers =
            [("Host", host.as_str()), ("Authorization", &bearer), ("Content-Type", "application/json")];
        self.request(method, path, &headers, body).await
    }

    /// A live connection, as the page opens it.
    pub(crate) async fn live(&self, cookie: &str) -> Live {
        self.try_live(cookie, &format!("http://{}", self.address())).await.expect("it is opened")
    }

    /// A live connection, or the status of its refusal.
    pub(crate) async fn try_live(&self, cookie: &str, origin: &str) -> Result<Live, u16> {
        self.live_with(&[("cookie", cookie), ("origin", origin)]).await
    }

    /// The same with these headers alone.
    pub(crate) async fn live_with(&self, headers: &[(&'static str, &str)]) -> Result<Live, u16> {
        let mut request = format!("ws://{}/api/v1/live", self.address()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(self.address()).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Live { socket }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }
}

/// A live connection.
pub(crate) struct Live {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Live {
    /// The next message.
    pub(crate) async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
        next.expect("it goes on").unwrap()
    }

    /// The next message of a kind of which this holds, without its first byte.
    pub(crate) async fn until(&mut self, kind: u8, mut holds: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let found = async {
            loop {
                if let Message::Binary(bytes) = self.next().await
                    && bytes[0] == kind
                    && holds(&bytes[1..])
                {
                    return bytes[1..].to_vec();
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no message of kind {kind}"))
    }

    /// The next JSON of a kind of which this holds.
    pub(crate) async fn json(&mut self, kind: u8, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        parse(&self.until(kind, |bytes| holds(&parse(bytes))).await)
    }

    /// The code with which the server ends it.
    pub(crate) async fn ended(mut self) -> Option<u16> {
        let ended = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends")
    }
}
