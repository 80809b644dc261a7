//! The OpenAPI document: every route is in it with its rule, and what the server answers is what it says.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use vitalwire_gateway::AlarmList;
use vitalwire_vitals::alarm::{Acknowledgement, Alarm, AlarmState, Condition, Priority};

use crate::patients::deliver;
use crate::schema::{Document, Rule};
use crate::support::{Answer, Ward, now_ms};

/// What each role may do beside looking. A right that is new belongs here, too.
const ROLES: [(&str, &[&str]); 4] = [
    ("watcher", &[]),
    ("scoped", &[]),
    ("cora", &["acknowledge", "pause", "limits"]),
    ("ana", &["acknowledge", "pause", "limits", "devices", "patients", "users", "audit"]),
];

/// Method, route, query, body, status of the answer.
type Example = (&'static str, &'static str, &'static str, &'static str, u16);

/// A request for each route that is well: `NOW` stands for the present moment in milliseconds. They are asked in this order, by an admin.
const EXAMPLES: &[Example] = &[
    ("GET", "/api/v1/openapi.json", "", "", 200),
    ("GET", "/api/v1/session", "", "", 200),
    ("GET", "/api/v1/session/ways", "", "", 200),
    ("POST", "/api/v1/session/provider", "", "", 404),
    ("GET", "/api/v1/devices", "", "", 200),
    ("GET", "/api/v1/devices/{id}/history", "?channel=Temperature&from=0&to=NOW&points=10", "", 200),
    ("GET", "/api/v1/devices/{id}/waves", "?channel=Temperature&from=0&to=1000", "", 200),
    ("GET", "/api/v1/devices/{id}/limits", "", "", 200),
    ("PUT", "/api/v1/devices/{id}/limits", "", r#"{"stay":1,"before":{},"limits":{"rate_high":130}}"#, 204),
    (
        "POST",
        "/api/v1/devices/{id}/limits/preview",
        "",
        r#"{"limits":{"temperature_high":36},"hours":1}"#,
        200,
    ),
    ("GET", "/api/v1/alarms/history", "?priority=low&from=0&to=NOW&before=9&count=5&device=bed_1", "", 200),
    ("GET", "/api/v1/alarms/{number}", "", "", 200),
    ("POST", "/api/v1/alarms/pause", "", r#"{"device":"bed_1","seconds":60}"#, 204),
    ("GET", "/api/v1/alarms", "", "", 200),
    ("POST", "/api/v1/alarms/ack", "", r#"{"device":"bed_1","reason":"walks"}"#, 200),
    ("POST", "/api/v1/admin/devices", "", r#"{"id":"bed_5"}"#, 200),
    ("POST", "/api/v1/admin/devices", "", r#"{"id":"bed_6","protocol":"aes-cbc"}"#, 200),
    ("GET", "/api/v1/admin/devices", "", "", 200),
    ("POST", "/api/v1/admin/devices/{id}/rotate", "", r#"{"overlap_s":60}"#, 200),
    ("POST", "/api/v1/admin/devices/{id}/label", "", r#"{"kind":"key"}"#, 200),
    ("POST", "/api/v1/admin/devices/{id}/label", "", r#"{"kind":"setup","wpa2":true}"#, 200),
    ("POST", "/api/v1/admin/devices/{id}/identity", "", r#"{"form":"uf2"}"#, 200),
    ("GET", "/api/v1/admin/devices/{id}", "", "", 200),
    ("POST", "/api/v1/admin/patients/{id}", "", r#"{"name":"Ana","bed":"1"}"#, 200),
    ("GET", "/api/v1/admin/patients", "", "", 200),
    ("GET", "/api/v1/admin/patients/{id}", "", "", 200),
    ("POST", "/api/v1/admin/patients/{id}/discharge", "", "{}", 200),
    ("POST", "/api/v1/admin/patients/{id}/move", "", r#"{"to":"bed_2"}"#, 200),
    ("POST", "/api/v1/admin/devices/{id}/revoke", "", "{}", 204),
    ("POST", "/api/v1/admin/devices/{id}/erase", "", r#"{"name":"bed_1"}"#, 200),
    ("GET", "/api/v1/admin/devices/{id}", "", "", 200),
    (
        "POST",
        "/api/v1/admin/users",
        "",
        r#"{"name":"1","role":"clinician","devices":["bed_2"],"first":"link"}"#,
        200,
    ),
    ("GET", "/api/v1/admin/users", "", "", 200),
    ("POST", "/api/v1/admin/users/{name}", "", r#"{"role":"reader"}"#, 204),
    ("POST", "/api/v1/admin/users/{name}/login", "", r#"{"first":{"password":"correct horse"}}"#, 200),
    ("DELETE", "/api/v1/admin/users/{name}", "", "", 204),
    ("GET", "/api/v1/admin/audit", "?limit=5&words=bed", "", 200),
    ("POST", "/api/v1/admin/audit/verify", "", "{}", 200),
    ("POST", "/api/v1/session", "", r#"{"user":"ana","password":"PASSWORD"}"#, 200),
    ("DELETE", "/api/v1/session", "", "", 204),
];

/// Routes whose answer is no JSON, with the test that asks them.
const ELSEWHERE: &[(&str, &str)] = &[("GET", "/api/v1/live")];

pub(crate) async fn document(ward: &Ward) -> Document {
    let answer = ward.get("/api/v1/openapi.json", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    Document(answer.json())
}

/// A route that is declared elsewhere would have no rule.
#[test]
fn routes_are_declared_in_one_way_alone() {
    fn texts(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                texts(&path, found);
            } else if std::fs::read_to_string(&path).unwrap().contains(".route(") {
                found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert_eq!(found, ["route.rs"]);
}

#[tokio::test]
async fn each_route_serves_whom_the_document_says() {
    let ward = Ward::open().await;
    let document = document(&ward).await;
    let mut tokens = Vec::new();
    for (user, _) in ROLES {
        tokens.push((user, ward.token(user).await));
    }
    let known: BTreeSet<&str> = ROLES.iter().flat_map(|(_, rights)| *rights).copied().collect();
    for operation in document.operations() {
        let (method, path, rule) = (&operation.method, operation.example_path(), operation.rule());
        if let Rule::May(right) = &rule {
            assert!(known.contains(right.as_str()), "no role is known to have the right `{right}`");
        }
        let mut found = vec![("no one", ward.ask(method, &path, "", "{}").await.status)];
        for (user, _) in ROLES {
            // One of its own: one of the routes ends it.
            let cookie = ward.session(user).await;
            found.push((user, ward.ask(method, &path, &cookie, "{}").await.status));
        }
        for (user, token) in &tokens {
            found.push((user, ward.with_token(method, &path, token.expose(), "{}").await.status));
        }
        for (user, status) in found {
            let rights = ROLES.iter().find(|(name, _)| *name == user).map(|(_, rights)| *rights);
            let wanted = match (&rule, rights) {
                (Rule::Anyone, _) | (Rule::Viewer, Some(_)) => None,
                (_, None) => Some(401),
                (Rule::May(right), Some(rights)) => (!rights.contains(&right.as_str())).then_some(403),
            };
            let refused = matches!(status, 401 | 403).then_some(status);
            assert_eq!(refused, wanted, "{method} {path} by {user}: {status}");
            assert!(!matches!(status, 405 | 500), "{method} {path} by {user}: {status}");
        }
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_document_says() {
    let ward = Ward::open().await;
    ward.raise_first_alarm();
    deliver(&ward).await;
    let document = document(&ward).await;
    let asked = EXAMPLES.iter().map(|(method, path, ..)| (*method, *path)).chain(ELSEWHERE.iter().copied());
    let asked: BTreeSet<(String, String)> = asked.map(|(m, p)| (m.to_owned(), p.to_owned())).collect();
    let operations = document.operations();
    let there = operations.iter().map(|operation| (operation.method.clone(), operation.path.clone()));
    assert_eq!(
        asked,
        there.collect(),
        "each route has an example here, or is in ELSEWHERE with a test of its own"
    );
    let mut cookie = ward.session("ana").await;
    for (method, path, query, body, status) in EXAMPLES {
        let operation = operations.iter().find(|one| one.method == *method && one.path == *path).unwrap();
        let query = query.replace("NOW", &now_ms().to_string());
        let body = body.replace("PASSWORD", vitalwire_testing::PASSWORD);
        let asked = operation.example_path() + &query;
        let answer = ward.ask(method, &asked, &cookie, &body).await;
        assert_eq!(answer.status, *status, "{method} {asked}: {answer:?}");
        check(&document, operation.said, &answer);
        if *method == "POST" && path.ends_with("/session") {
            cookie = answer.cookie();
        }
        if !body.is_empty() {
            let schema = &operation.said["requestBody"]["content"]["application/json"]["schema"];
            document.check(schema, &serde_json::from_str(&body).unwrap()).unwrap();
        }
        for (name, _) in query.trim_start_matches('?').split('&').filter_map(|one| one.split_once('=')) {
            let parameters = operation.said["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|one| one["name"] == name), "{path} has no {name}");
        }
    }
    for operation in operations.iter().filter(|operation| operation.rule() != Rule::Anyone) {
        let refused = ward.ask(&operation.method, &operation.example_path(), "", "{}").await;
        check(&document, operation.said, &refused);
    }
}

/// Whether an answer is one of those that the document has.
fn check(document: &Document, said: &Value, answer: &Answer) {
    let responses = &said["responses"];
    let status = answer.status.to_string();
    let response = match responses.get(&status) {
        Some(response) => response,
        None if answer.status >= 400 => &responses["default"],
        None => panic!("{status} is not in the document: {said}"),
    };
    match response.get("content") {
        None => assert!(answer.body.is_empty(), "{answer:?}"),
        Some(content) => {
            let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap();
            let content =
                content.get(kind).unwrap_or_else(|| panic!("{kind} is not in the document: {said}"));
            if let Some(schema) = content.get("schema") {
                document.check(schema, &answer.json()).unwrap_or_else(|wrong| panic!("{wrong}; {said}"));
            }
        }
    }
}

#[tokio::test]
async fn an_alarm_is_what_the_document_says() {
    let ward = Ward::open().await;
    let document = document(&ward).await;
    let acknowledged = Acknowledgement { by: "Ana".to_owned(), reason: Some("walks".to_owned()), time_us: 4 };
    let alarm = Alarm {
        number: 1,
        condition: Condition::RateHigh,
        priority: Priority::High,
        value: Some(134.0),
        limit: Some(120.0),
        bad: vitalwire_vitals::alarm::BadSignals::from_bits(1),
        since_us: 1,
        raised_us: 2,
        ended_us: None,
        returns: 0,
        acknowledged: Some(acknowledged),
        announced_us: Some(2),
        escalated_us: Some(3),
        delay_s: 15,
    };
    let list = AlarmList {
        device: "bed_1".parse().unwrap(),
        time_us: 0,
        state: AlarmState::AlarmPaused,
        until_us: Some(1),
        floor: Some(Priority::Medium),
        alarms: vec![alarm],
        is_withdrawn: false,
    };
    let json: Value = serde_json::from_str(&list.to_json()).unwrap();
    document.check(document.named("#/components/schemas/AlarmList"), &json).unwrap();
}
