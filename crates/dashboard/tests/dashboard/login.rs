//! Logging in and out.

use std::time::Duration;

use vitalwire_access::{Role, Way};
use vitalwire_testing::until;

use crate::support::Ward;

fn password(user: &str, password: &str) -> String {
    serde_json::json!({ "user": user, "password": password }).to_string()
}

#[tokio::test]
async fn the_right_password_gets_a_session_that_no_script_can_read_and_each_login_a_new_one() {
    let ward = Ward::open().await;
    for (user, guess) in [("ana", "wrong"), ("no one", vitalwire_testing::PASSWORD), ("", "")] {
        let answer = ward.ask("POST", "/api/v1/session", "", &password(user, guess)).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{user}");
    }
    let right = password("ana", vitalwire_testing::PASSWORD);
    let answer = ward.ask("POST", "/api/v1/session", "", &right).await;
    let set = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(set.split("; ").any(|found| found == part), "{set}");
    }
    assert!(!set.contains("Secure"), "over http a browser would not send it back");
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "user": "ana",
            "role": "admin",
            "can": ["acknowledge", "pause", "limits", "devices", "patients", "users", "audit"],
        })
    );
    let first = answer.cookie();
    assert_eq!(ward.get("/api/v1/session", &first).await.json()["user"], "ana");
    let second = ward.ask("POST", "/api/v1/session", &first, &right).await.cookie();
    assert_ne!(first, second);
    assert_eq!(ward.get("/api/v1/session", &first).await.status, 401, "the old id opens nothing");
    let gone = ward.ask("DELETE", "/api/v1/session", &second, "").await;
    assert_eq!(gone.status, 204);
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(ward.get("/api/v1/session", &second).await.status, 401);
    let reader = ward.log_in("watcher").await;
    assert_eq!(ward.get("/api/v1/session", &reader).await.json()["can"], serde_json::json!([]));
}

#[tokio::test]
async fn wrong_passwords_lock_out_here_and_those_of_mqtt_do_not() {
    let ward = Ward::open().await;
    let logins = ward.clinic.server().logins();
    for _ in 0..5 {
        let _ = logins.check(Way::Mqtt, "ana", b"wrong", "127.0.0.1".parse().unwrap()).await;
    }
    ward.log_in("ana").await;
    for _ in 0..5 {
        assert_eq!(ward.ask("POST", "/api/v1/session", "", &password("ana", "wrong")).await.status, 401);
    }
    let right = password("ana", vitalwire_testing::PASSWORD);
    assert_eq!(ward.ask("POST", "/api/v1/session", "", &right).await.status, 429);
}

#[tokio::test]
async fn a_link_logs_in_once() {
    let ward = Ward::open().await;
    let link = ward.dashboard.login_link(&"ana".parse().unwrap(), Duration::from_secs(600)).await.unwrap();
    let (address, token) = link.split_once("/#link=").unwrap();
    assert_eq!(address, format!("http://{}", ward.address()));
    let body = serde_json::json!({ "link": token }).to_string();
    let cookie = ward.ask("POST", "/api/v1/session", "", &body).await.cookie();
    assert_eq!(ward.get("/api/v1/session", &cookie).await.json()["user"], "ana");
    assert_eq!(ward.ask("POST", "/api/v1/session", "", &body).await.status, 401);
    let guess = r#"{"link":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    assert_eq!(ward.ask("POST", "/api/v1/session", "", guess).await.status, 401);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_keeps_no_one_from_logging_in_or_out_here() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let file = rusqlite::Connection::open(ward.clinic.data().join("dashboard.db")).unwrap();
    file.execute_batch(
        "CREATE TRIGGER full BEFORE DELETE ON sessions BEGIN SELECT RAISE(FAIL, 'the disk is full'); END",
    )
    .unwrap();
    let right = password("ana", vitalwire_testing::PASSWORD);
    let again = ward.ask("POST", "/api/v1/session", &cookie, &right).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(ward.get("/api/v1/session", &cookie).await.status, 401, "the old one ended all the same");
    let gone = ward.ask("DELETE", "/api/v1/session", &again.cookie(), "").await;
    assert_eq!(gone.status, 503, "after a restart it would be there again");
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"), "{gone:?}");
    assert_eq!(ward.get("/api/v1/session", &again.cookie()).await.status, 401);
}

#[tokio::test]
async fn of_two_cookies_none_counts() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let name = cookie.split('=').next().unwrap();
    assert_eq!(ward.get("/api/v1/session", &format!("other=1; {cookie}")).await.status, 200);
    for two in [format!("{cookie}; {name}=planted"), format!("{name}=planted; {cookie}")] {
        assert_eq!(ward.get("/api/v1/session", &two).await.status, 401, "{two}");
    }
}

#[tokio::test]
async fn sessions_end_with_their_user_and_guessed_ids_open_nothing() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("scoped").await;
    let name = cookie.split('=').next().unwrap();
    for guess in ["", "x", &"A".repeat(43), "' OR 1=1 --", &"A".repeat(4_000)] {
        assert_eq!(ward.get("/api/v1/devices", &format!("{name}={guess}")).await.status, 401, "{guess}");
    }
    let user = "scoped".parse().unwrap();
    ward.clinic.registry.set_role(&user, &Role::Admin).unwrap();
    ward.clinic.known().await;
    assert_eq!(ward.get("/api/v1/session", &cookie).await.json()["role"], "admin");
    ward.clinic.registry.remove_user(&user).unwrap();
    let logins = ward.clinic.server().logins();
    until("the user is gone", || logins.user("scoped").is_none()).await;
    assert_eq!(ward.get("/api/v1/session", &cookie).await.status, 401);
}
