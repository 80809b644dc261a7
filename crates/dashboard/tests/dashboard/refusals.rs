//! Who may ask for what, and what is not looked at.

use vitalwire_dashboard::{Dashboard, DashboardConfig, DashboardError};

use crate::openapi::document;
use crate::support::Ward;

#[tokio::test]
async fn what_is_no_route_is_not_there() {
    let ward = Ward::open().await;
    for path in
        ["/api/v1/nothing", "/api", "/etc/passwd", "/../../etc/passwd", "/assets/..%2f..%2fetc%2fpasswd"]
    {
        assert_eq!(ward.get(path, "").await.status, 404, "{path}");
    }
    assert_eq!(ward.get("/api/v1/live", &ward.session("watcher").await).await.status, 426);
}

#[tokio::test]
async fn a_forged_host_or_origin_is_refused_on_each_route_also_with_a_session() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let host = ward.address().to_string();
    let origin = format!("http://{host}");
    let kind = ("Content-Type", "application/json");
    let document = document(&ward).await;
    let operations = document.operations();
    let paths = operations.iter().map(|operation| (operation.method.as_str(), operation.example_path()));
    for (method, path) in paths.chain([("GET", "/".to_owned())]) {
        for evil in ["evil.example", "127.0.0.1", "localhost", ""] {
            let headers = [("Host", evil), ("Origin", &origin), ("Cookie", &cookie), kind];
            assert_eq!(
                ward.request(method, &path, &headers, "{}").await.status,
                421,
                "{method} {path} {evil}"
            );
        }
        for evil in ["http://evil.example", "null", "http://localhost"] {
            let headers = [("Host", host.as_str()), ("Origin", evil), ("Cookie", &cookie), kind];
            assert_eq!(
                ward.request(method, &path, &headers, "{}").await.status,
                403,
                "{method} {path} {evil}"
            );
        }
        let crossing = [("Host", host.as_str()), ("Origin", &origin), ("Sec-Fetch-Site", "cross-site"), kind];
        assert_eq!(ward.request(method, &path, &crossing, "{}").await.status, 403, "{method} {path}");
        if method != "GET" {
            let silent = [("Host", host.as_str()), ("Cookie", &cookie), kind];
            assert_eq!(ward.request(method, &path, &silent, "{}").await.status, 403, "{method} {path}");
        }
    }
    assert_eq!(ward.get("/api/v1/session", &cookie).await.status, 200, "nothing of that ended the session");
    for origin in ["http://evil.example", "null"] {
        assert_eq!(ward.try_live(&cookie, origin).await.err(), Some(403));
    }
}

#[tokio::test]
async fn every_answer_says_what_browsers_must_know() {
    let ward = Ward::open().await;
    for path in ["/", "/api/v1/session", "/nothing"] {
        let answer = ward.get(path, "").await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(ward.get("/api/v1/session", "").await.header("cache-control"), Some("no-store"));
    assert_eq!(ward.get("/", "").await.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn bodies_and_heads_have_a_length() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let long = format!(r#"{{"device":"{}"}}"#, "x".repeat(10 << 20));
    assert_eq!(ward.ask("POST", "/api/v1/alarms/ack", &cookie, &long).await.status, 413);
    assert_eq!(ward.ask("POST", "/api/v1/session", "", &long).await.status, 413);
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"device":"bed_1","seconds":-1}"#,
        r#"{"device":"bed_1","seconds":1,"x":1}"#,
    ] {
        assert_eq!(ward.ask("POST", "/api/v1/alarms/pause", &cookie, body).await.status, 400, "{body}");
    }
    let host = ward.address().to_string();
    let origin = format!("http://{host}");
    let form =
        [("Host", host.as_str()), ("Origin", &origin), ("Content-Type", "text/plain"), ("Cookie", &cookie)];
    assert_eq!(ward.request("POST", "/api/v1/alarms/ack", &form, "{}").await.status, 415);
    let long = "x".repeat(64 << 10);
    assert_eq!(ward.request("GET", "/", &[("Host", &host), ("X", &long)], "").await.status, 431);
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_without_tls() {
    let ward = Ward::open().await;
    let key = ward.clinic.folder.path().join("master-key");
    let config = DashboardConfig::new(ward.clinic.data(), key, "0.0.0.0:0".parse().unwrap());
    let refused = Dashboard::start(config, ward.clinic.server()).await.err().unwrap();
    assert!(matches!(refused, DashboardError::Exposed(_)), "{refused}");
}
