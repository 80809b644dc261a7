//! Programs that ask with a token.

use std::time::{Duration, SystemTime};

use vitalwire_registry::TokenSecret;
use vitalwire_testing::until;

use crate::support::Ward;

#[tokio::test]
async fn a_program_sees_what_its_token_is_for_without_login_and_origin() {
    let ward = Ward::open().await;
    let token = ward.token("scoped").await;
    let session = ward.with_token("GET", "/api/v1/session", token.expose(), "").await;
    let expected = serde_json::json!({"user": "token scoped", "role": "reader", "can": []});
    assert_eq!((session.status, session.json()), (200, expected));
    let devices = ward.with_token("GET", "/api/v1/devices", token.expose(), "").await.json();
    assert_eq!(
        (devices["devices"].as_array().unwrap().len(), &devices["devices"][0]["id"]),
        (1, &"bed_1".into())
    );
    let path = "/api/v1/devices/bed_2/history?channel=Temperature&from=0&to=1&points=1";
    assert_eq!(ward.with_token("GET", path, token.expose(), "").await.status, 404);
    let pause = r#"{"device":"bed_1","seconds":0}"#;
    assert_eq!(ward.with_token("POST", "/api/v1/alarms/pause", token.expose(), pause).await.status, 403);
    let end = ward.with_token("DELETE", "/api/v1/session", token.expose(), "").await;
    assert_eq!(end.status, 400, "there is none: {end:?}");
    let (host, bearer) = (ward.address().to_string(), format!("Bearer {}", token.expose()));
    let mut live = ward.live_with(&[("authorization", &bearer)]).await.expect("no Origin is needed");
    let device = live.json(1, |_| true).await;
    assert_eq!(device["id"], "bed_1");
    let evil = [("authorization", bearer.as_str()), ("origin", "http://evil.example")];
    assert_eq!(ward.live_with(&evil).await.err(), Some(403));
    let moved = [("Host", "evil.example"), ("Authorization", &bearer)];
    assert_eq!(ward.request("GET", "/api/v1/devices", &moved, "").await.status, 421, "{host}");
}

#[tokio::test]
async fn with_a_token_no_cookie_counts() {
    let ward = Ward::open().await;
    let (cookie, host) = (ward.session("ana").await, ward.address().to_string());
    for token in ["Bearer vwt_00", "Bearer x", "Bearer ", "bearer x"] {
        let headers = [("Host", host.as_str()), ("Authorization", token), ("Cookie", &cookie)];
        assert_eq!(ward.request("GET", "/api/v1/session", &headers, "").await.status, 401, "{token}");
    }
    let bearer = format!("Bearer {}", ward.token("scoped").await.expose());
    let headers = [("Host", host.as_str()), ("Authorization", &bearer), ("Cookie", &cookie)];
    assert_eq!(ward.request("GET", "/api/v1/session", &headers, "").await.json()["user"], "token scoped");
    let two = [("Host", host.as_str()), ("Authorization", &bearer), ("Authorization", &bearer)];
    assert_eq!(
        ward.request("GET", "/api/v1/session", &two, "").await.status,
        401,
        "of two tokens none counts"
    );
    let basic = [("Host", host.as_str()), ("Authorization", "Basic YTpi"), ("Cookie", &cookie)];
    assert_eq!(ward.request("GET", "/api/v1/session", &basic, "").await.status, 200, "of a proxy before us");
}

#[tokio::test]
async fn a_token_opens_nothing_once_it_is_removed_or_has_ended() {
    let ward = Ward::open().await;
    let token = ward.token("watcher").await;
    let bearer = format!("Bearer {}", token.expose());
    let mut live = ward.live_with(&[("authorization", &bearer)]).await.unwrap();
    live.until(5, |_| true).await;
    ward.clinic.registry.remove_token(&"watcher".parse().unwrap()).unwrap();
    assert_eq!(live.ended().await, Some(4401), "also what is open");
    assert_eq!(ward.with_token("GET", "/api/v1/devices", token.expose(), "").await.status, 401);

    let (ended, now) = (TokenSecret::generate().unwrap(), SystemTime::now());
    let role = vitalwire_access::Role::Admin;
    let lasted = now - Duration::from_secs(60)..now - Duration::from_secs(1);
    ward.clinic.registry.add_token(&"old".parse().unwrap(), &role, &ended, lasted).unwrap();
    let logins = ward.clinic.server().logins();
    until("it is known", || logins.directory().borrow().tokens.contains_key(&ended.hash())).await;
    assert_eq!(ward.with_token("GET", "/api/v1/devices", ended.expose(), "").await.status, 401);
}

#[tokio::test]
async fn what_a_program_does_is_on_record_under_its_tokens_name() {
    let ward = Ward::open().await;
    let token = ward.token("cora").await;
    let records = |kind: &str| {
        let records = ward.clinic.registry.audit(0, 1_000).unwrap();
        let of_kind = records.into_iter().filter(|record| record.kind == kind);
        of_kind.map(|record| (record.subject, record.detail)).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(ward.with_token("GET", "/api/v1/devices", token.expose(), "").await.status, 200);
    }
    let looks = records("patient-seen");
    assert_eq!(looks.len(), 2, "two devices, once each: {looks:?}");
    assert_eq!(looks[0].1, "by token cora, in the dashboard, from 127.0.0.1");
    let used = || records("user-login").into_iter().filter(|(subject, _)| subject == "token cora").count();
    until("the use is on record", || used() > 0).await;
    assert_eq!(ward.with_token("GET", "/api/v1/devices", "vwt_guessed", "").await.status, 401);
    until("the guess is, too", || records("login-refused").iter().any(|(who, _)| who == "unknown token"))
        .await;
    assert_eq!(used(), 1, "once an hour");
}
