//! The dashboard beyond this machine: over TLS, and behind proxies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use vitalwire_broker::{TlsIdentity, generate_self_signed};
use vitalwire_testing::browser_tls::{TlsVersion, connect};
use vitalwire_testing::{PASSWORD, PATIENCE};

use crate::support::{Answer, Ward};

const NAME: &str = "ward.example";

/// A ward whose dashboard listens everywhere, with its certificate.
struct Open {
    ward: Ward,
    certificate: PathBuf,
    _folder: tempfile::TempDir,
}

impl Open {
    async fn with(patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity: TlsIdentity = generate_self_signed(folder.path(), &[NAME.to_owned()]).unwrap();
        let certificate = identity.certificate.clone();
        let ward = Ward::configured(|config| {
            config.listen = "0.0.0.0:0".parse().unwrap();
            config.tls = Some(identity);
            config.limits.request_patience = patience;
        });
        Self { ward: ward.await, certificate, _folder: folder }
    }

    async fn new() -> Self {
        Self::with(Duration::from_secs(10)).await
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ward.address().port()).into()
    }

    /// A request from a page of this origin.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        host: &str,
        origin: &str,
        more: &str,
        body: &str,
    ) -> Answer {
        let stream = connect(self.address(), NAME, &self.certificate, TlsVersion::V13).await.unwrap();
        let len = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n{more}\
             Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
        );
        Answer::of(stream, request.as_bytes()).await
    }
}

fn login() -> String {
    serde_json::json!({ "user": "watcher", "password": PASSWORD }).to_string()
}

#[tokio::test]
async fn beyond_this_machine_it_speaks_tls_with_a_cookie_for_tls_alone() {
    let open = Open::new().await;
    assert!(open.ward.dashboard.is_tls());
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let stream = connect(open.address(), NAME, &open.certificate, version).await.unwrap();
        let page =
            Answer::of(stream, b"GET / HTTP/1.1\r\nHost: ward.example\r\nConnection: close\r\n\r\n").await;
        assert_eq!(page.status, 200, "{version:?}");
        assert_eq!(page.header("strict-transport-security"), Some("max-age=31536000"));
    }
    let wrong = connect(open.address(), "other.example", &open.certificate, TlsVersion::V13).await;
    assert!(wrong.is_err(), "the certificate is for its names");
    // At whichever port it is published.
    let (host, origin) = ("ward.example:18443", "https://ward.example:18443");
    let answer = open.ask("POST", "/api/v1/session", host, origin, "", &login()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.header("set-cookie").unwrap();
    let name = format!("__Host-vitalwire_session_{}=", open.address().port());
    assert!(set.starts_with(&name) && set.ends_with("; Secure"), "{set}");
    assert!(set.contains("; HttpOnly; SameSite=Strict; Path=/;") && !set.contains("Domain"), "{set}");
    let cookie = format!("Cookie: {}\r\n", answer.cookie());
    let session = open.ask("GET", "/api/v1/session", host, origin, &cookie, "").await;
    assert_eq!(session.json()["user"], "watcher");
    let plain = open.ask("DELETE", "/api/v1/session", host, "http://ward.example:18443", &cookie, "").await;
    assert_eq!(plain.status, 403, "a page that came without TLS is none of ours");
    let gone = open.ask("DELETE", "/api/v1/session", host, origin, &cookie, "").await;
    assert_eq!(gone.status, 204);
    assert!(gone.header("set-cookie").unwrap().ends_with("; Secure"), "else a browser keeps it");
    for evil in ["evil.example", "0.0.0.0", "127.0.0.1:18443", ""] {
        assert_eq!(open.ask("GET", "/", evil, origin, "", "").await.status, 421, "{evil}");
    }
}

#[tokio::test]
async fn live_data_comes_over_tls() {
    let open = Open::new().await;
    let (host, origin) = ("ward.example", "https://ward.example");
    let cookie = open.ask("POST", "/api/v1/session", host, origin, "", &login()).await.cookie();
    let stream = connect(open.address(), NAME, &open.certificate, TlsVersion::V13).await.unwrap();
    let mut request = "wss://ward.example/api/v1/live".into_client_request().unwrap();
    request.headers_mut().insert("origin", origin.parse().unwrap());
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    let (mut live, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let beat = async { while live.next().await.unwrap().unwrap().into_data().first() != Some(&5) {} };
    tokio::time::timeout(PATIENCE, beat).await.expect("a heartbeat");
}

#[tokio::test]
async fn who_typed_the_address_without_https_is_sent_there_and_a_strange_name_is_not() {
    let open = Open::new().await;
    let ask = async |host: &str, path: &str| {
        let stream = TcpStream::connect(open.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Answer::of(stream, request.as_bytes()).await
    };
    let sent = ask("ward.example:8443", "/?wall").await;
    assert_eq!((sent.status, sent.header("location")), (308, Some("https://ward.example:8443/?wall")));
    for path in ["/api/v1/session", "//evil.example/"] {
        let sent = ask("ward.example", path).await;
        assert_eq!(sent.header("location"), Some(&*format!("https://ward.example{path}")));
        assert!(sent.body.is_empty());
    }
    assert_eq!(ask("evil.example", "/").await.status, 421);
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_in_time() {
    let open = Open::with(Duration::from_millis(200)).await;
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"\x80\x80\x80"] {
        let mut stream = TcpStream::connect(open.address()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut said = Vec::new();
        // How it ends, with an alert or a reset, is OpenSSL's business.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it ends");
        assert!(said.len() < 100, "{begun:?}");
    }
}

#[tokio::test]
async fn behind_a_proxy_each_address_has_its_own_limits_and_no_one_else_is_believed() {
    let proxied = Ward::configured(|config| config.proxies = "127.0.0.1".parse().unwrap()).await;
    let log_in = async |ward: &Ward, address: Option<&str>, password: &str| {
        let host = ward.address().to_string();
        let origin = format!("http://{host}");
        let mut headers =
            vec![("Host", host.as_str()), ("Origin", &origin), ("Content-Type", "application/json")];
        headers.extend(address.map(|address| ("X-Forwarded-For", address)));
        let body = serde_json::json!({ "user": "ana", "password": password }).to_string();
        ward.request("POST", "/api/v1/session", &headers, &body).await.status
    };
    assert_eq!(log_in(&proxied, None, PASSWORD).await, 400, "a proxy says for whom");
    assert_eq!(log_in(&proxied, Some("unknown"), PASSWORD).await, 400);
    for _ in 0..5 {
        assert_eq!(log_in(&proxied, Some("10.9.9.9, 203.0.113.9"), "wrong").await, 401);
    }
    assert_eq!(log_in(&proxied, Some("203.0.113.9"), PASSWORD).await, 429);
    assert_eq!(log_in(&proxied, Some("203.0.113.10"), PASSWORD).await, 200);
    let told = |address: &str| {
        let records = proxied.clinic.registry.audit(0, 1_000).unwrap();
        records.iter().any(|record| record.detail.contains(&format!("from {address}")))
    };
    vitalwire_testing::until("the login is on record", || told("203.0.113.10")).await;
    assert!(!told("10.9.9.9"), "what the peer wrote itself means nothing");

    let direct = Ward::open().await;
    for _ in 0..5 {
        assert_eq!(log_in(&direct, Some("203.0.113.9"), "wrong").await, 401);
    }
    assert_eq!(log_in(&direct, Some("203.0.113.10"), PASSWORD).await, 429, "who is no proxy is not believed");
}
