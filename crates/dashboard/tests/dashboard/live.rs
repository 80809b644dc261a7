//! The live connection.

use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;
use vitalwire_dashboard::DashboardLimits;
use vitalwire_registry::{DeviceKey, PatientChange};
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};

use crate::support::Ward;

const BOOT: u64 = 7;

/// What the device says from the dashboard's first device on.
fn device(ward: &Ward, id: &str) -> LinkDevice {
    let DeviceKey::Tls(links) = ward.clinic.registry.device_key(&id.parse().unwrap()).unwrap() else {
        panic!()
    };
    let address = ward.clinic.server().addresses().devices;
    LinkDevice { id: id.to_owned(), link: links.current, address, profile: "pico" }
}

/// A second of a pulse wave, and a temperature.
fn second(sequence: u64) -> Vec<u8> {
    let wave: Vec<i32> = (0..250).map(|value| 1_500 + value).collect();
    batch_of(sequence, HELLO_MS - 1_000, &[(2, 4_000, &wave), (0, 1_000_000, &[36_600])], None)
}

#[tokio::test]
async fn a_viewer_sees_who_is_there_and_what_is_measured_as_it_comes() {
    let ward = Ward::open().await;
    let name = PatientChange {
        name: Some("<script>alert(1)</script>".to_owned()),
        bed: Some("7".to_owned()),
        ..PatientChange::default()
    };
    ward.clinic.registry.set_patient(&"bed_1".parse().unwrap(), &name, None).unwrap();
    ward.clinic.known().await;
    let mut live = ward.live(&ward.log_in("watcher").await).await;
    let first = live.json(1, |device| device["id"] == "bed_1" && device["bed"] == "7").await;
    assert_eq!(first["patient"], "<script>alert(1)</script>", "as it is: the page shows it as text");
    assert_eq!((&first["profile"], &first["online"]), (&serde_json::Value::Null, &false.into()));
    let beat = live.until(5, |_| true).await;
    assert_eq!((beat.len(), &beat[8..]), (12, &[0, 0, 0, 0][..]));
    let (mut connection, _) = device(&ward, "bed_1").greet(BOOT).await;
    live.json(1, |device| device["id"] == "bed_1" && device["online"] == true).await;
    connection.send(&second(1)).await;
    let known = live.json(1, |device| device["id"] == "bed_1" && device["profile"] == "pico").await;
    assert_eq!(known["channels"][2]["name"], "Pulse_Signal");
    assert_eq!(
        (&known["channels"][2]["wave"], &known["channels"][0]["wave"]),
        (&"ppg".into(), &serde_json::Value::Null)
    );
    let wave = live.until(2, |_| true).await;
    let n = first["n"].as_u64().unwrap();
    assert_eq!(u64::from(u16::from_le_bytes([wave[0], wave[1]])), n);
    assert_eq!((wave[2], wave[3]), (2, 0xfd), "the channel, and thousandths");
    assert_eq!(wave[12..18], [0xa0, 0x0f, 0, 0, 250, 0], "4 ms, 250 values");
    assert_eq!(wave[18..22], 1_500_i32.to_le_bytes());
    assert_eq!(wave.len(), 18 + 4 * 250);
    let values = live.json(3, |values| values["n"] == n && values["values"]["Temperature"].is_number()).await;
    assert_eq!(values["values"]["Temperature"], 36.6);
    drop(connection);
    live.json(1, |device| device["id"] == "bed_1" && device["online"] == false).await;
    ward.clinic.registry.revoke_device(&"bed_1".parse().unwrap()).unwrap();
    assert_eq!(live.until(6, |_| true).await, wave[..2]);
}

#[tokio::test]
async fn after_a_handover_nothing_of_the_patient_before_stands_under_the_next_ones_name() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let id = "bed_1".parse().unwrap();
    let named = |name: &str| PatientChange { name: Some(name.to_owned()), ..PatientChange::default() };
    ward.clinic.registry.set_patient(&id, &named("Ana"), None).unwrap();
    let mut live = ward.live(&cookie).await;
    let ana = live.json(1, |device| device["patient"] == "Ana").await;
    let mut connection = device(&ward, "bed_1").greet(BOOT).await.0;
    connection.send(&second(1)).await;
    live.json(3, |values| values["n"] == ana["n"] && values["values"]["Temperature"] == 36.6).await;
    let moment = vitalwire_registry::Moment { time_us: 1_000_000, position: 1_000 };
    ward.clinic.registry.set_patient(&id, &named("Bo"), Some(moment)).unwrap();
    let bo = live.json(1, |device| device["patient"] == "Bo").await;
    assert_ne!(bo["stay"], ana["stay"]);
    assert_eq!(bo["last"], serde_json::Value::Null);
    let values = live.json(3, |values| values["n"] == ana["n"]).await;
    assert_eq!(values["values"], serde_json::json!({}));
    let devices = ward.get("/api/v1/devices", &cookie).await.json();
    assert_eq!((&devices["devices"][0]["stay"], &devices["devices"][0]["last"]), (&bo["stay"], &bo["last"]));
}

#[tokio::test]
async fn of_a_batch_that_spans_a_handover_the_next_patient_gets_what_was_measured_after_it() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let id = "bed_1".parse().unwrap();
    let named = |name: &str| PatientChange { name: Some(name.to_owned()), ..PatientChange::default() };
    ward.clinic.registry.set_patient(&id, &named("Ana"), None).unwrap();
    let mut live = ward.live(&cookie).await;
    let mut connection = device(&ward, "bed_1").greet(BOOT).await.0;
    let begun = live.json(1, |device| device["patient"] == "Ana" && device["online"] == true).await;
    let wave: Vec<i32> = (0..250).map(|value| 1_500 + value).collect();
    // The device says its times by its own clock; of a first second it is seen what they are here.
    connection.send(&batch_of(1, HELLO_MS - 3_000, &[(2, 4_000, &wave)], None)).await;
    let first = live.until(2, |_| true).await;
    let first_ms = f64::from_le_bytes(first[4..12].try_into().unwrap());
    // In the middle of its next second it is handed over.
    #[expect(clippy::cast_possible_truncation, reason = "a time of today")]
    let border_us = ((first_ms + 1_500.0) * 1_000.0).round() as i64;
    let moment = vitalwire_registry::Moment { time_us: border_us, position: 1 };
    ward.clinic.registry.set_patient(&id, &named("Bo"), Some(moment)).unwrap();
    live.json(1, |device| device["patient"] == "Bo").await;
    let channels = [(2, 4_000, &wave[..]), (0, 250_000, &[39_900, 39_900])];
    connection.send(&batch_of(2, HELLO_MS - 2_000, &channels, None)).await;
    let shown = live.until(2, |_| true).await;
    let [from_ms, to_ms] = [border_us, border_us + 4_000].map(|us| us as f64 / 1_000.0);
    let shown_ms = f64::from_le_bytes(shown[4..12].try_into().unwrap());
    assert!((from_ms..to_ms).contains(&shown_ms), "{shown_ms} is not the first at or after {from_ms}");
    let count = usize::from(u16::from_le_bytes([shown[16], shown[17]]));
    assert!((124..=126).contains(&count), "{count} of 250: half a second");
    assert_eq!(shown.len(), 18 + 4 * count);
    let first_digits = i32::from_le_bytes(shown[18..22].try_into().unwrap());
    assert_eq!(first_digits, 1_500 + 250 - i32::try_from(count).unwrap(), "the last ones");
    // Both temperatures were Ana's. One of Bo's comes after them, and is the first that is told.
    connection.send(&batch_of(3, HELLO_MS - 1_000, &[(0, 1_000_000, &[36_500])], None)).await;
    let told = live.json(3, |values| {
        values["n"] == begun["n"] && values["values"]["Temperature"] != serde_json::Value::Null
    });
    assert_eq!(told.await["values"]["Temperature"], 36.5);
}

#[tokio::test]
async fn a_reader_of_one_device_is_told_of_no_other() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("scoped").await;
    let mut live = ward.live(&cookie).await;
    let mut other = device(&ward, "bed_2").greet(BOOT).await.0;
    other.send(&second(1)).await;
    other.acknowledged(1).await;
    let mut own = device(&ward, "bed_1").greet(BOOT).await.0;
    own.send(&second(1)).await;
    // The order is that of the server: of the other device all would be here before.
    let own = live.json(1, |device| device["profile"] == "pico").await;
    assert_eq!(own["id"], "bed_1");
    let devices = ward.get("/api/v1/devices", &cookie).await.json();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
    for path in ["bed_2", "bed_3", "%00", "..", &"x".repeat(300)] {
        let path = format!("/api/v1/devices/{path}/history?channel=Temperature&from=0&to=1000&points=10");
        assert_eq!(ward.get(&path, &cookie).await.status, 404, "{path}");
    }
    assert!(ward.get("/api/v1/alarms", &cookie).await.json().get("ward").is_none());
}

#[tokio::test]
async fn what_came_while_no_one_looked_is_known_to_who_comes() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let mut connection = device(&ward, "bed_1").greet(BOOT).await.0;
    connection.send(&second(1)).await;
    connection.acknowledged(1).await;
    let mut is_known = false;
    while !is_known {
        let devices = ward.get("/api/v1/devices", &cookie).await.json();
        let bed = &devices["devices"][0];
        is_known = bed["profile"] == "pico" && bed["last"].is_number() && bed["online"] == true;
    }
    let mut live = ward.live(&cookie).await;
    let known = live.json(1, |device| device["id"] == "bed_1").await;
    assert_eq!((&known["profile"], &known["online"]), (&"pico".into(), &true.into()));
    let values = live.json(3, |values| values["n"] == known["n"]).await;
    assert_eq!(values["values"]["Temperature"], 36.6);
}

#[tokio::test]
async fn a_page_gets_the_waves_that_it_asked_for() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let (mut all, mut none) = (ward.live(&cookie).await, ward.live(&cookie).await);
    none.socket.send(Message::Binary(vec![1].into())).await.unwrap();
    // A heartbeat after it shows that it was read.
    none.until(5, |_| true).await;
    none.until(5, |_| true).await;
    let mut connection = device(&ward, "bed_1").greet(BOOT).await.0;
    connection.send(&second(1)).await;
    all.until(2, |_| true).await;
    // Its values come after its wave.
    loop {
        let Message::Binary(bytes) = none.next().await else { continue };
        assert_ne!(bytes[0], 2, "a wave that no one asked for");
        if bytes[0] == 3 && String::from_utf8_lossy(&bytes).contains("Temperature") {
            break;
        }
    }
}

#[tokio::test]
async fn a_live_connection_ends_with_its_session_and_at_what_is_no_message() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("ana").await;
    let live = ward.live(&cookie).await;
    assert_eq!(ward.ask("DELETE", "/api/v1/session", &cookie, "").await.status, 204);
    assert_eq!(live.ended().await, Some(4401));
    let cookie = ward.log_in("ana").await;
    for wrong in [Message::Binary(vec![].into()), Message::Binary(vec![9].into()), Message::Text("{}".into())]
    {
        let mut live = ward.live(&cookie).await;
        live.socket.send(wrong).await.unwrap();
        assert_eq!(live.ended().await, Some(4400));
    }
    let mut live = ward.live(&cookie).await;
    for _ in 0..1_000 {
        // It may have ended already.
        let _ = live.socket.send(Message::Binary(vec![1].into())).await;
    }
    assert_eq!(live.ended().await, Some(4400), "too many at once");
    let mut live = ward.live(&cookie).await;
    // Longer than a message may be; the server need not read all of it.
    let _ = live.socket.send(Message::Binary(vec![1; 1 << 20].into())).await;
    let code = live.ended().await;
    assert_ne!(code, Some(1000), "it did not end by itself");
    let live = ward.live(&cookie).await;
    ward.dashboard.stop().await;
    assert_eq!(live.ended().await, Some(1001));
}

#[tokio::test]
async fn a_user_has_so_many_live_connections_and_a_closed_one_makes_room() {
    let ward = Ward::with(DashboardLimits { live_per_user_max: 2, ..DashboardLimits::default() }).await;
    let origin = format!("http://{}", ward.address());
    let cookie = ward.log_in("ana").await;
    let first = ward.live(&cookie).await;
    let _second = ward.live(&cookie).await;
    assert_eq!(ward.try_live(&cookie, &origin).await.err(), Some(429));
    let _others = ward.live(&ward.log_in("watcher").await).await;
    drop(first);
    let mut is_open = false;
    for _ in 0..1_000 {
        is_open = ward.try_live(&cookie, &origin).await.is_ok();
        if is_open {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(is_open, "the closed one still counts");
}

#[tokio::test]
async fn a_viewer_that_does_not_read_keeps_no_one_waiting() {
    let ward = Ward::open().await;
    let cookie = ward.log_in("watcher").await;
    let _stuck = ward.live(&cookie).await;
    let mut live = ward.live(&cookie).await;
    let mut connection = device(&ward, "bed_1").greet(BOOT).await.0;
    for sequence in 1..=50 {
        connection.send(&second(sequence)).await;
        live.until(2, |_| true).await;
    }
}
