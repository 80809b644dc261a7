//! Alarms of before, the strip around one, and limits with what they would have raised.

use serde_json::{Value, json};
use vitalwire_access::DeviceId;
use vitalwire_registry::{DeviceKey, Moment, PatientChange};
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};
use vitalwire_vitals::alarm::{Condition, Limits};

use crate::support::Ward;

fn id(name: &str) -> DeviceId {
    name.parse().unwrap()
}

/// Fever is an alarm at once, and nothing else is.
fn fever_alone() -> Limits {
    let others = Condition::ALL
        .into_iter()
        .filter(|condition| !matches!(condition, Condition::TemperatureHigh | Condition::JournalFull));
    let off: Vec<_> = others.map(Condition::name).collect();
    format!("delay-temperature-high=0 off={}", off.join(",")).parse().unwrap()
}

/// A patient `Ana` in bed 7 whose fever is an alarm, and its number.
async fn fever(ward: &Ward, device: &str, cookie: &str) -> u64 {
    let name = |text: &str| Some(text.to_owned());
    let ana = PatientChange { name: name("Ana"), bed: name("7"), ..PatientChange::default() };
    ward.clinic.registry.set_patient(&id(device), &ana, None).unwrap();
    ward.clinic.registry.set_limits(&id(device), &fever_alone()).unwrap();
    ward.clinic.known().await;
    let DeviceKey::Tls(links) = ward.clinic.registry.device_key(&id(device)).unwrap() else { panic!() };
    let address = ward.clinic.server().addresses().devices;
    let link = LinkDevice { id: device.to_owned(), link: links.current, address, profile: "pico" };
    let mut connection = link.greet(7).await.0;
    let wave: Vec<i32> = (0..250).map(|value| 1_500 + value % 50).collect();
    for n in 0..8 {
        let time_ms = HELLO_MS - (8 - n) * 1_000;
        let channels = [(0, 50_000, &[39_500; 20][..]), (2, 4_000, &wave)];
        connection.send(&batch_of(n + 1, time_ms, &channels, None)).await;
    }
    connection.acknowledged(8).await;
    let path = format!("/api/v1/alarms/history?device={device}");
    loop {
        let alarms = ward.get(&path, cookie).await.json();
        if let Some(number) = alarms["alarms"][0]["alarm"]["number"].as_u64() {
            return number;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_before_and_their_strips_are_shown_to_who_sees_the_patient() {
    let ward = Ward::open().await;
    let (cookie, scoped) = (ward.session("watcher").await, ward.session("scoped").await);
    let number = fever(&ward, "bed_1", &cookie).await;
    let of_other = fever(&ward, "bed_2", &cookie).await;
    let past = ward.get("/api/v1/alarms/history?priority=medium&count=500", &cookie).await.json();
    let numbers: Vec<_> =
        past["alarms"].as_array().unwrap().iter().map(|one| &one["alarm"]["number"]).collect();
    assert_eq!(numbers, [of_other, number], "the newest first");
    let one = &past["alarms"][1];
    assert_eq!((&one["device"], &one["patient"], &one["bed"]), (&"bed_1".into(), &"Ana".into(), &"7".into()));
    assert_eq!(
        (&one["alarm"]["text"], &one["late"], &one["closed"]),
        (&"** Temp 39.5 > 38.5".into(), &false.into(), &Value::Null)
    );
    assert_eq!(past["next"], Value::Null);
    let page = ward.get("/api/v1/alarms/history?count=1", &cookie).await.json();
    assert_eq!((&page["alarms"][0]["alarm"]["number"], &page["next"]), (&of_other.into(), &of_other.into()));
    let next = ward.get(&format!("/api/v1/alarms/history?count=1&before={of_other}"), &cookie).await.json();
    assert_eq!((&next["alarms"][0]["alarm"]["number"], &next["next"]), (&number.into(), &Value::Null));
    let own = ward.get("/api/v1/alarms/history", &scoped).await.json();
    assert_eq!(own["alarms"].as_array().unwrap().len(), 1, "{own}");

    let strip = ward.get(&format!("/api/v1/alarms/{number}"), &scoped).await.json();
    assert_eq!(
        (&strip["record"]["alarm"]["number"], &strip["record"]["patient"]),
        (&number.into(), &"Ana".into())
    );
    assert_eq!(
        (&strip["limits"]["temperature_high"], &strip["limits"]["rate_high"]),
        (&38.5.into(), &120.into())
    );
    assert_eq!(strip["to"].as_i64().unwrap() - strip["from"].as_i64().unwrap(), 30_000);
    let wave = &strip["channels"][0];
    assert_eq!(
        (&wave["values"]["channel"], &wave["wave"], &wave["values"]["unit"]),
        (&"Pulse_Signal".into(), &"ppg".into(), &"V".into())
    );
    let column = |name: &str| wave["values"][name].as_array().unwrap();
    assert_eq!((column("time").len(), column("min").len(), column("gap").len()), (2_000, 2_000, 2_000));
    assert_eq!(
        (&column("min")[1], &column("max")[1]),
        (&1.501.into(), &1.501.into()),
        "each value by itself"
    );
    assert_eq!(strip["channels"][1]["values"]["channel"], "Temperature", "{strip}");
    for path in [format!("/api/v1/alarms/{of_other}"), "/api/v1/alarms/99999".to_owned()] {
        assert_eq!(ward.get(&path, &scoped).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_the_patient_before_are_not_the_next_ones() {
    let ward = Ward::open().await;
    let cookie = ward.session("ana").await;
    let number = fever(&ward, "bed_1", &cookie).await;
    let bo = PatientChange { name: Some("Bo".to_owned()), ..PatientChange::default() };
    let moment = Moment { time_us: 4_000_000_000_000_000, position: 1_000 };
    ward.clinic.registry.set_patient(&id("bed_1"), &bo, Some(moment)).unwrap();
    let mut past = Value::Null;
    while past["alarms"] != json!([]) {
        past = ward.get("/api/v1/alarms/history", &cookie).await.json();
        tokio::task::yield_now().await;
    }
    assert_eq!(ward.get(&format!("/api/v1/alarms/{number}"), &cookie).await.status, 404);
}

#[tokio::test]
async fn what_is_asked_wrongly_of_alarms_says_what_is_wrong() {
    let ward = Ward::open().await;
    let cookie = ward.session("ana").await;
    for (query, status) in [
        ("priority=urgent", 400),
        ("from=-1", 400),
        ("to=253402300800000", 400),
        ("from=5&to=5", 400),
        ("count=0", 400),
        ("count=501", 400),
        ("before=x", 400),
        ("before=18446744073709551616", 400),
        ("colour=red", 400),
        ("device=bed_9", 404),
        ("device=%27%20OR%201%3D1%20--", 404),
        ("before=18446744073709551615&from=0&to=253402300799999", 200),
    ] {
        let answer = ward.get(&format!("/api/v1/alarms/history?{query}"), &cookie).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
    }
    for path in ["0", "-1", "x", "..", "%00", "18446744073709551616", "1%20OR%201"] {
        let answer = ward.get(&format!("/api/v1/alarms/{path}"), &cookie).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_set_for_the_patient_that_was_looked_at_and_say_who_did() {
    let ward = Ward::open().await;
    let (cookie, reader) = (ward.session("ana").await, ward.session("watcher").await);
    let path = "/api/v1/devices/bed_1/limits";
    let known = ward.get(path, &reader).await.json();
    assert_eq!((&known["limits"], &known["limits"]["rate_high"]), (&known["defaults"], &120.into()));
    assert_eq!(known["delays_s_max"]["asystole"], 10);
    let change = |stay: &Value, before: &Value, rate_high: u32| {
        let mut limits = before.clone();
        limits["rate_high"] = rate_high.into();
        json!({ "stay": stay, "before": before, "limits": limits }).to_string()
    };
    let asked = change(&known["stay"], &known["limits"], 130);
    assert_eq!(ward.ask("PUT", path, &reader, &asked).await.status, 403);
    assert_eq!(ward.ask("PUT", path, &cookie, &asked).await.status, 204);
    assert_eq!(ward.clinic.registry.limits(&id("bed_1")).unwrap().rate_high, 130);
    let last =
        ward.clinic.registry.audit(0, 1_000).unwrap().into_iter().rfind(|one| one.kind == "limits-set");
    let detail = format!("stay {}, by ana, in the dashboard, from 127.0.0.1", known["stay"]);
    assert_eq!(last.unwrap().detail, detail);
    assert_eq!(ward.ask("PUT", path, &cookie, &asked).await.status, 409, "others were set meanwhile");
    let now = ward.get(path, &cookie).await.json();
    for (stay, rate_high, status) in
        [(json!(99), 140, 409), (json!(0), 140, 400), (known["stay"].clone(), 30, 400)]
    {
        let answer = ward.ask("PUT", path, &cookie, &change(&stay, &now["limits"], rate_high)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["error"].as_str().unwrap().len() > 10);
    }
    for (body, status) in
        [("{}", 400), ("[]", 400), (r#"{"stay":1,"before":{},"limits":{"off":["<script>"]}}"#, 400)]
    {
        assert_eq!(ward.ask("PUT", path, &cookie, body).await.status, status, "{body}");
    }
    assert_eq!(ward.get("/api/v1/devices/bed_9/limits", &cookie).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_tells_what_limits_would_have_raised_and_changes_nothing() {
    let ward = Ward::open().await;
    let (cookie, reader) = (ward.session("ana").await, ward.session("watcher").await);
    fever(&ward, "bed_1", &cookie).await;
    let head = ward.clinic.registry.audit(0, 1_000).unwrap().len();
    let path = "/api/v1/devices/bed_1/limits/preview";
    let known = ward.get("/api/v1/devices/bed_1/limits", &cookie).await.json();
    let asked = |temperature_high: f64| {
        let mut limits = known["limits"].clone();
        limits["temperature_high"] = temperature_high.into();
        json!({ "limits": limits, "hours": 1 }).to_string()
    };
    assert_eq!(ward.ask("POST", path, &reader, &asked(39.0)).await.status, 403);
    let answer = ward.ask("POST", path, &cookie, &asked(40.0)).await.json();
    assert_eq!(
        (&answer["has_values"], answer["conditions"].as_array().unwrap().len()),
        (&true.into(), 1),
        "{answer}"
    );
    let fever = json!({ "condition": "temperature-high", "on_record": 1, "configured": 1, "asked": 0 });
    assert_eq!(answer["conditions"][0], fever);
    assert_eq!(answer["alarms"][0]["raised_by"], "configured");
    let same = ward.ask("POST", path, &cookie, &asked(38.5)).await.json();
    assert_eq!(
        (&same["conditions"][0]["asked"], &same["alarms"][0]["raised_by"]),
        (&1.into(), &"both".into())
    );
    for body in
        [r#"{"limits":{},"hours":0}"#, r#"{"limits":{},"hours":25}"#, r#"{"limits":{"rate_low":200}}"#, "{}"]
    {
        assert_eq!(ward.ask("POST", path, &cookie, body).await.status, 400, "{body}");
    }
    let recorded = ward.clinic.registry.audit(0, 1_000).unwrap();
    let others = recorded.iter().skip(head).filter(|record| record.kind != "patient-seen");
    assert_eq!(others.count(), 0, "it changes nothing");
}
