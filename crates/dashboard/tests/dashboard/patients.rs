//! History, alarms, and the record of who looked.

use vitalwire_registry::{DeviceKey, Moment, PatientChange};
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};

use crate::support::{Ward, now_ms};

pub(crate) async fn deliver(ward: &Ward) {
    let DeviceKey::Tls(links) = ward.clinic.registry.device_key(&"bed_1".parse().unwrap()).unwrap() else {
        panic!()
    };
    let address = ward.clinic.server().addresses().devices;
    let device = LinkDevice { id: "bed_1".to_owned(), link: links.current, address, profile: "pico" };
    let mut connection = device.greet(7).await.0;
    // Two batches with four seconds between them, of which nothing is known.
    for (sequence, time_ms) in [(1, HELLO_MS - 6_000), (2, HELLO_MS - 1_000)] {
        let values = [36_000 + i32::try_from(sequence).unwrap(); 20];
        connection.send(&batch_of(sequence, time_ms, &[(0, 50_000, &values)], None)).await;
        connection.acknowledged(sequence).await;
    }
}

#[tokio::test]
async fn history_is_thinned_and_says_where_samples_are_missing() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    deliver(&ward).await;
    let (from, to) = (now_ms() - 60_000, now_ms() + 60_000);
    let ask = |query: String| {
        let (ward, cookie) = (&ward, &cookie);
        async move { ward.get(&format!("/api/v1/devices/bed_1/history?{query}"), cookie).await }
    };
    let answer = ask(format!("channel=Temperature&from={from}&to={to}&points=10000")).await.json();
    assert_eq!((&answer["device"], &answer["unit"]), (&"bed_1".into(), &"Cel".into()));
    let column = |name: &str| answer[name].as_array().unwrap().clone();
    let [time, min, max, gap] = ["time", "min", "max", "gap"].map(column);
    assert_eq!((time.len(), min.len(), max.len()), (gap.len(), gap.len(), gap.len()));
    assert_eq!((&min[0], max.last().unwrap()), (&36.001.into(), &36.002.into()));
    let gaps: Vec<_> = gap.iter().filter(|gap| **gap != 0).collect();
    assert_eq!(gaps, [&serde_json::json!(1)], "one, before the second batch");
    let one = ask(format!("channel=Temperature&from={from}&to={to}&points=1")).await.json();
    assert_eq!(one["gap"], serde_json::json!([2]), "within the only stretch");
    for wrong in [
        String::new(),
        "channel=Temperature".to_owned(),
        format!("channel=Temperature&from={to}&to={from}&points=10"),
        format!("channel=Temperature&from={from}&to={from}&points=10"),
        format!("channel=Temperature&from=-1&to={to}&points=10"),
        format!("channel=Temperature&from={from}&to=253402300800000&points=10"),
        format!("channel=Temperature&from={from}&to=99999999999999999999&points=10"),
        format!("channel=Temperature&from={from}&to={to}&points=0"),
        format!("channel=Temperature&from={from}&to={to}&points=10001"),
        format!("channel=%27%3B%20DROP%20TABLE%20entries%20--&from={from}&to={to}&points=10"),
        format!("channel=&from={from}&to={to}&points=10"),
    ] {
        let answer = ask(wrong.clone()).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["error"].as_str().unwrap().len() > 10, "{wrong}");
    }
    let years = ask("channel=Temperature&from=0&to=253402300799999&points=10".to_owned()).await;
    assert_eq!(years.status, 200);
}

#[tokio::test]
async fn history_is_of_the_present_stay_alone() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let bed: vitalwire_access::DeviceId = "bed_1".parse().unwrap();
    deliver(&ward).await;
    let path = format!(
        "/api/v1/devices/bed_1/history?channel=Temperature&from={}&to={}&points=10",
        now_ms() - 60_000,
        now_ms() + 60_000
    );
    assert!(!ward.get(&path, &cookie).await.json()["time"].as_array().unwrap().is_empty());
    let other = PatientChange { name: Some("Bo".to_owned()), ..PatientChange::default() };
    let moment = Moment { time_us: i64::try_from(now_ms()).unwrap() * 1_000, position: 1_000 };
    ward.clinic.registry.set_patient(&bed, &other, Some(moment)).unwrap();
    ward.clinic.known().await;
    assert_eq!(
        ward.get(&path, &cookie).await.json()["time"],
        serde_json::json!([]),
        "Bo measured nothing yet"
    );
}

#[tokio::test]
async fn what_is_said_about_alarms_must_be_about_one_that_is_open() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let ask = |path: &'static str, body: &'static str| {
        let (ward, cookie) = (&ward, &cookie);
        async move { ward.ask("POST", path, cookie, body).await }
    };
    let answer = ask("/api/v1/alarms/ack", r#"{"device":"bed_1","number":99}"#).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    for (path, body) in [
        ("/api/v1/alarms/ack", r#"{"device":"bed_9"}"#),
        ("/api/v1/alarms/ack", r#"{"device":"' OR 1=1"}"#),
        ("/api/v1/alarms/pause", r#"{"device":"bed_9","seconds":60}"#),
    ] {
        assert_eq!(ask(path, body).await.status, 404, "{body}");
    }
    deliver(&ward).await;
    assert_eq!(ask("/api/v1/alarms/pause", r#"{"device":"bed_1","seconds":121}"#).await.status, 400);
    assert_eq!(ask("/api/v1/alarms/pause", r#"{"device":"bed_1","seconds":60}"#).await.status, 204);
    let alarms = ward.get("/api/v1/alarms", &cookie).await.json();
    assert_eq!(alarms["patients"][0]["device"], "bed_1", "{alarms}");
    assert_eq!(alarms["patients"][0]["state"], "alarm-paused");
    assert_eq!(ask("/api/v1/alarms/pause", r#"{"device":"bed_1","seconds":0}"#).await.status, 204);
    assert_eq!(ward.get("/api/v1/alarms", &cookie).await.json()["patients"], serde_json::json!([]));
}

#[tokio::test]
async fn each_look_is_on_record_once_a_user_and_device() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("scoped").await;
    let mut live = ward.live(&cookie).await;
    live.until(5, |_| true).await;
    for path in ["/api/v1/devices", "/api/v1/alarms"] {
        assert_eq!(ward.get(path, &cookie).await.status, 200);
    }
    let looks = || {
        let records = ward.clinic.registry.audit(0, 1_000).unwrap();
        let looks = records.into_iter().filter(|record| record.kind == "patient-seen");
        looks.map(|record| (record.subject, record.detail)).collect::<Vec<_>>()
    };
    let once = ("bed_1".to_owned(), "by scoped, in the dashboard, from 127.0.0.1".to_owned());
    let first = looks();
    assert_eq!(first, std::slice::from_ref(&once));
    ward.get("/api/v1/devices", &ward.log_in("scoped").await).await;
    assert_eq!(looks(), [once], "another session of the same person is the same look");
    ward.clinic.registry.verify_audit(None).unwrap();
}
