//! Who may ask for what, and what is not looked at.

use std::collections::BTreeSet;

use axum::http::Method;
use vitalwire_dashboard::{Dashboard, DashboardConfig, DashboardError, LIVE, ROUTES, Who};

use crate::support::Ward;

fn path(route: &str) -> String {
    route.replace("{id}", "bed_1") + "?channel=Temperature&from=0&to=1000&points=10"
}

/// A route that stands in no table would have no rule.
#[test]
fn the_table_has_every_route_that_is_served() {
    let served = include_str!("../../src/rest.rs").split(".route(\"").skip(1);
    let served: BTreeSet<&str> = served.map(|text| text.split('"').next().unwrap()).collect();
    assert_eq!(served, ROUTES.iter().map(|(_, route, _)| *route).collect());
}

#[tokio::test]
async fn each_route_serves_whom_it_is_for() {
    let ward = Ward::open().await;
    for (method, route, who) in ROUTES {
        let asked = |cookie: String| {
            let (method, path, ward) = (method.clone(), path(route), &ward);
            async move { ward.ask(method.as_str(), &path, &cookie, "{}").await.status }
        };
        // Each with a session of its own: one of the routes ends it.
        let (reader, admin) = (ward.log_in("watcher").await, ward.log_in("ana").await);
        let found = (asked(String::new()).await, asked(reader).await, asked(admin).await);
        let is_served = |status: u16| !matches!(status, 401 | 403 | 404 | 405 | 421 | 426);
        match who {
            Who::Anyone => assert_eq!(found, (400, 400, 400), "{method} {route}"),
            Who::Viewer => {
                assert_eq!(found.0, 401, "{method} {route}");
                assert!(is_served(found.1) && is_served(found.2), "{method} {route}: {found:?}");
            }
            Who::Admin => {
                assert_eq!((found.0, found.1), (401, 403), "{method} {route}");
                assert!(is_served(found.2), "{method} {route}: {found:?}");
            }
        }
    }
    assert_eq!(ward.get(LIVE, "").await.status, 401);
    assert_eq!(ward.get(LIVE, &ward.log_in("watcher").await).await.status, 426);
    for path in
        ["/api/v1/nothing", "/api", "/etc/passwd", "/../../etc/passwd", "/assets/..%2f..%2fetc%2fpasswd"]
    {
        assert_eq!(ward.get(path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_forged_host_or_origin_is_refused_on_each_route_also_with_a_session() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let host = ward.address().to_string();
    let origin = format!("http://{host}");
    let kind = ("Content-Type", "application/json");
    let paths = ROUTES.iter().map(|(method, route, _)| (method.clone(), path(route)));
    for (method, path) in paths.chain([(Method::GET, "/".to_owned()), (Method::GET, LIVE.to_owned())]) {
        for evil in ["evil.example", "127.0.0.1", "localhost", ""] {
            let headers = [("Host", evil), ("Origin", &origin), ("Cookie", &cookie), kind];
            assert_eq!(
                ward.request(method.as_str(), &path, &headers, "{}").await.status,
                421,
                "{method} {path} {evil}"
            );
        }
        for evil in ["http://evil.example", "null", "http://localhost"] {
            let headers = [("Host", host.as_str()), ("Origin", evil), ("Cookie", &cookie), kind];
            assert_eq!(
                ward.request(method.as_str(), &path, &headers, "{}").await.status,
                403,
                "{method} {path} {evil}"
            );
        }
        let crossing = [("Host", host.as_str()), ("Origin", &origin), ("Sec-Fetch-Site", "cross-site"), kind];
        assert_eq!(
            ward.request(method.as_str(), &path, &crossing, "{}").await.status,
            403,
            "{method} {path}"
        );
        if method != Method::GET {
            let silent = [("Host", host.as_str()), ("Cookie", &cookie), kind];
            assert_eq!(
                ward.request(method.as_str(), &path, &silent, "{}").await.status,
                403,
                "{method} {path}"
            );
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
async fn an_address_that_others_reach_is_refused() {
    let ward = Ward::open().await;
    let config = DashboardConfig {
        data: ward.clinic.data(),
        master_key: ward.clinic.folder.path().join("master-key"),
        listen: "0.0.0.0:0".parse().unwrap(),
        hosts: Default::default(),
        limits: Default::default(),
    };
    let refused = Dashboard::start(config, ward.clinic.server()).await.err().unwrap();
    assert!(matches!(refused, DashboardError::Exposed(_)), "{refused}");
}
