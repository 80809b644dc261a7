//! What admins do: devices and their keys, patients, users, the audit log; each change on record with a person's name.

use serde_json::{Value, json};
use vitalwire_registry::{DeviceKey, Protocol};
use vitalwire_testing::link::{HELLO_MS, LinkDevice, batch_of};
use vitalwire_testing::{PATIENCE, until};

use crate::support::{Answer, Ward};

const SCRIPT: &str = "<script>alert(1)</script>";
const INJECTED: [&str; 5] = ["' OR 1=1 --", "a'; DROP TABLE devices; --", "../../etc/passwd", SCRIPT, "%"];

struct Admin<'w> {
    ward: &'w Ward,
    cookie: String,
}

impl<'w> Admin<'w> {
    async fn of(ward: &'w Ward) -> Self {
        Self { ward, cookie: ward.log_in("ana").await }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ward.get(&format!("/api/v1/admin/{path}"), &self.cookie).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ward.ask("POST", &format!("/api/v1/admin/{path}"), &self.cookie, &body.to_string()).await
    }

    /// What is at a path as soon as it is so.
    async fn when(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let answer = self.get(path).await.json();
                if is_so(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("in vain: {path}"))
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ward.ask("DELETE", &format!("/api/v1/admin/{path}"), &self.cookie, "").await
    }
}

/// The newest audit record of a kind: whose, by whom.
fn recorded(ward: &Ward, kind: &str) -> Option<(String, String)> {
    let records = ward.clinic.registry.audit(0, 10_000).unwrap();
    let record = records.into_iter().rev().find(|record| record.kind == kind)?;
    Some((record.subject, record.actor))
}

fn by_ana(ward: &Ward, kind: &str, subject: &str) {
    let (found, actor) = recorded(ward, kind).unwrap_or_else(|| panic!("no {kind}"));
    assert_eq!(found, subject, "{kind}");
    assert!(actor.starts_with("ana by dashboard as "), "{kind}: {actor}");
}

#[tokio::test]
async fn a_device_is_enrolled_connects_and_its_ledger_adds_up() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    let enrolled = admin.post("devices", json!({"id": "bed_7"})).await;
    assert_eq!(enrolled.status, 200, "{enrolled:?}");
    let keys = enrolled.json();
    assert_eq!((keys["protocol"].as_str(), keys["psk"].as_str().unwrap().len()), (Some("tls"), 64));
    by_ana(&ward, "device-enrolled", "bed_7");
    assert_eq!(admin.post("devices", json!({"id": "bed_7"})).await.status, 409, "it is there");
    let frames = admin.post("devices", json!({"id": "old_1", "protocol": "aes-cbc"})).await.json();
    assert!(frames["key_line"].as_str().unwrap().contains(r#""id":"old_1""#), "{frames}");
    assert_eq!(frames["psk"], Value::Null);

    let id: vitalwire_access::DeviceId = "bed_7".parse().unwrap();
    until("the server knows it", || ward.clinic.server().devices().iter().any(|known| known.device == id))
        .await;
    let DeviceKey::Tls(links) = ward.clinic.registry.device_key(&id).unwrap() else { panic!() };
    assert_eq!(keys["identity"], links.current.id.to_string());
    let address = ward.clinic.server().addresses().devices;
    let device = LinkDevice { id: "bed_7".to_owned(), link: links.current, address, profile: "pico" };
    let mut connection = device.greet(7).await.0;
    for sequence in [1, 2, 5] {
        let values = [36_000; 20];
        let time_ms = HELLO_MS - 10_000 + sequence * 1_000;
        connection.send(&batch_of(sequence, time_ms, &[(0, 50_000, &values)], None)).await;
    }
    connection.acknowledged(5).await;
    let detail = admin.get("devices/bed_7").await.json();
    let boot = json!({
        "boot": "0000000000000007", "sent": 5, "acknowledged": 5, "stored": 3, "open": 0, "given_up": 2
    });
    assert_eq!(detail["boots"], json!([boot]), "{detail}");
    let gap = &detail["gaps"][0];
    assert_eq!((&gap["first"], &gap["last"], &gap["state"]), (&3.into(), &4.into(), &"given-up".into()));
    let about = &detail["device"]["connection"];
    assert_eq!(about["profile"], "pico");
    assert!(about["firmware"].is_string() && about["peer"].is_string(), "{about}");
    assert!(detail["events"].as_array().unwrap().iter().any(|event| event["kind"] == "online"), "{detail}");
    let listed = admin.get("devices").await.json();
    let own = listed["devices"].as_array().unwrap().iter().find(|device| device["id"] == "bed_7").unwrap();
    assert_eq!(own["assurance"], "authenticated");
    assert!(own["last"].is_i64(), "{own}");

    assert_eq!(admin.post("devices/bed_7/revoke", json!({})).await.status, 204);
    by_ana(&ward, "device-revoked", "bed_7");
    until("its connection ends", || ward.clinic.server().connection(&id).is_none()).await;
    assert_eq!(admin.get("devices/bed_7").await.status, 404);
}

#[tokio::test]
async fn an_erasure_wants_the_name_once_more_and_is_told_when_it_is_done() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    for wrong in [json!({"name": "bed_2"}), json!({"name": ""}), json!({"name": "BED_1"}), json!({})] {
        assert_eq!(admin.post("devices/bed_1/erase", wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(recorded(&ward, "erasure-requested"), None);
    let asked = admin.post("devices/bed_1/erase", json!({"name": "bed_1"})).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    by_ana(&ward, "erasure-requested", "bed_1");
    let done = admin.when("devices/bed_1", |detail| detail["erasure"]["done"].is_i64()).await;
    assert!(!done["erasure"]["proof"].as_str().unwrap().is_empty());
    assert_eq!(admin.get("devices/bed_1").await.json()["device"], Value::Null);
}

#[tokio::test]
async fn labels_and_files_are_those_of_the_device_and_who_saw_them_is_on_record() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    let shown = || {
        let records = ward.clinic.registry.audit(0, 10_000).unwrap();
        records.iter().filter(|record| record.kind == "key-shown").count()
    };
    let key = admin.post("devices/bed_1/label", json!({"kind": "key"})).await.json();
    assert!(key["svg"].as_str().unwrap().contains(">bed_1</text>"), "{key}");
    by_ana(&ward, "key-shown", "bed_1");
    let setup = admin.post("devices/bed_1/label", json!({"kind": "setup", "wpa2": true})).await.json();
    assert!(setup["page"].as_str().unwrap().starts_with("http://192.168.4.1/#"), "{setup}");
    assert!(setup["password"].is_string());
    let open = admin.post("devices/bed_1/label", json!({"kind": "setup"})).await.json();
    assert_eq!(open["password"], Value::Null);
    let file = admin.post("devices/bed_1/identity", json!({"form": "bin"})).await;
    assert_eq!((file.status, file.body.len()), (200, 4_096));
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"bed_1.bin\""));
    let file = admin.post("devices/bed_1/identity", json!({"form": "uf2"})).await;
    assert_eq!(file.body[..4], *b"UF2\n");
    assert_eq!(shown(), 5);
    admin.post("devices", json!({"id": "old_1", "protocol": "aes-cbc"})).await;
    assert_eq!(admin.post("devices/old_1/label", json!({"kind": "key"})).await.status, 409);
    assert_eq!(shown(), 5, "no one saw a key");
    assert_eq!(admin.post("devices/old_1/label", json!({"kind": "setup"})).await.status, 200);

    let rotated = admin.post("devices/bed_1/rotate", json!({"overlap_s": 3_600})).await.json();
    assert!(rotated["old_key_until"].is_i64(), "{rotated}");
    by_ana(&ward, "device-rotated", "bed_1");
    let bed = "bed_1".parse().unwrap();
    let DeviceKey::Tls(links) = ward.clinic.registry.device_key(&bed).unwrap() else { panic!() };
    assert_eq!(rotated["identity"], links.current.id.to_string());
    assert_eq!(ward.clinic.registry.device(&bed).unwrap().protocol, Protocol::Tls);
    for wrong in [json!({"overlap_s": 99_999_999}), json!({"overlap_s": -1}), json!({"overlap_s": u64::MAX})]
    {
        assert_eq!(admin.post("devices/bed_1/rotate", wrong.clone()).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn patients_come_are_named_move_and_go() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    let of = async |device: &str| {
        let stays = admin.get("patients").await.json()["stays"].as_array().unwrap().clone();
        stays.into_iter().find(|stay| stay["device"] == device).unwrap()
    };
    assert_eq!(of("bed_1").await["name"], Value::Null);
    let first = of("bed_1").await["stay"].clone();
    let set = admin.post("patients/bed_1", json!({"name": SCRIPT, "bed": "7", "notes": "asthma"})).await;
    assert_eq!((set.status, set.json()["stay"].clone()), (200, first.clone()), "the stay goes on");
    by_ana(&ward, "patient-admitted", "bed_1");
    let stay = of("bed_1").await;
    assert_eq!(
        (&stay["name"], &stay["bed"], &stay["notes"]),
        (&SCRIPT.into(), &"7".into(), &"asthma".into())
    );
    let other = admin.post("patients/bed_1", json!({"name": "Bo"})).await;
    assert_eq!(other.status, 409, "that is more often another patient: {other:?}");
    assert!(!String::from_utf8(other.body).unwrap().contains(SCRIPT), "no error tells who it is");
    assert_eq!(admin.post("patients/bed_1", json!({"name": "Ana", "correct": true})).await.status, 200);
    let new = admin.post("patients/bed_1", json!({"name": "Bo", "new": true})).await.json();
    assert_ne!(new["stay"], first);
    let stays = admin.get("patients/bed_1").await.json();
    let names: Vec<_> = stays["stays"].as_array().unwrap().iter().map(|stay| stay["name"].clone()).collect();
    assert_eq!(names, ["Ana", "Bo"]);
    assert_eq!(admin.post("patients/bed_1/move", json!({"to": "bed_2"})).await.json(), new);
    assert_eq!((&of("bed_2").await["name"], &of("bed_1").await["name"]), (&"Bo".into(), &Value::Null));
    assert_eq!(of("bed_2").await["devices"], json!(["bed_1", "bed_2"]));
    by_ana(&ward, "patient-moved", "bed_1");
    assert_eq!(admin.post("patients/bed_2/discharge", json!({})).await.status, 200);
    by_ana(&ward, "patient-discharged", "bed_2");
    assert_eq!(admin.post("patients/bed_2/discharge", json!({})).await.status, 409, "no one wears it");
    for (path, body, status) in [
        ("patients/bed_1", json!({}), 400),
        ("patients/bed_1", json!({"name": "x".repeat(1_000)}), 400),
        ("patients/bed_1", json!({"name": "a\u{202e}b"}), 400),
        ("patients/bed_1", json!({"name": "a", "new": true, "correct": true}), 400),
        ("patients/bed_1", json!({"patient": "a"}), 400),
        ("patients/bed_9", json!({"name": "a"}), 404),
        ("patients/bed_1/move", json!({"to": "bed_1"}), 400),
        ("patients/bed_1/move", json!({"to": "bed_9"}), 404),
    ] {
        let answer = admin.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(answer.json()["error"].as_str().unwrap().len() > 10);
    }
    let (seen, _) = recorded(&ward, "patient-seen").expect("who looks at names is on record");
    assert!(["bed_1", "bed_2"].contains(&seen.as_str()));
}

#[tokio::test]
async fn users_are_added_changed_and_removed_and_no_admin_removes_themselves() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    let logins = ward.clinic.server().logins();
    let generated =
        admin.post("users", json!({"name": "nurse", "role": "reader", "first": "generated"})).await;
    assert_eq!(generated.status, 200, "{generated:?}");
    by_ana(&ward, "user-added", "nurse");
    until("the server knows the user", || logins.user("nurse").is_some()).await;
    let password = generated.json()["password"].as_str().unwrap().to_owned();
    let log_in = async |body: Value| ward.ask("POST", "/api/v1/session", "", &body.to_string()).await;
    assert_eq!(log_in(json!({"user": "nurse", "password": password})).await.status, 200);

    let scoped = json!({"name": "family", "role": "reader", "devices": ["bed_1"], "first": "link"});
    let way = admin.post("users", scoped).await.json();
    assert_eq!(way["password"], Value::Null, "no one knows it");
    by_ana(&ward, "login-link-made", "family");
    until("the server knows the user", || logins.user("family").is_some()).await;
    let link = log_in(json!({"link": way["link"]})).await;
    assert_eq!(link.json()["user"], "family");
    let cookie = link.cookie();
    let seen = ward.get("/api/v1/devices", &cookie).await.json();
    assert_eq!(seen["devices"].as_array().unwrap().len(), 1);
    assert_eq!(log_in(json!({"link": way["link"]})).await.status, 401, "once");

    assert_eq!(admin.post("users/family", json!({"role": "reader"})).await.status, 204);
    by_ana(&ward, "role-set", "family");
    let listed = admin.get("users").await;
    assert!(!String::from_utf8(listed.body.clone()).unwrap().contains("argon2"), "no hash is shown");
    let users = listed.json()["users"].as_array().unwrap().clone();
    assert!(users.contains(&json!({"name": "family", "role": "reader", "devices": null})), "{users:?}");
    let set = admin.post("users/nurse/login", json!({"first": {"password": "correct horse"}})).await;
    assert_eq!((set.status, set.json()["password"].clone()), (200, Value::Null));
    by_ana(&ward, "password-set", "nurse");
    assert_eq!(admin.delete("users/nurse").await.status, 204);
    by_ana(&ward, "user-removed", "nurse");

    for (path, body, status) in [
        ("users", json!({"name": "ana", "role": "reader", "first": "link"}), 409),
        ("users", json!({"name": "a b", "role": "reader", "first": "link"}), 400),
        ("users", json!({"name": SCRIPT, "role": "reader", "first": "link"}), 400),
        ("users", json!({"name": "x", "role": "root", "first": "link"}), 400),
        ("users", json!({"name": "x", "role": "admin", "devices": ["bed_1"], "first": "link"}), 400),
        ("users", json!({"name": "x", "role": "reader", "devices": [], "first": "link"}), 400),
        ("users", json!({"name": "x", "role": "reader", "devices": ["bed_9"], "first": "link"}), 400),
        ("users", json!({"name": "x", "role": "reader", "first": {"password": "short"}}), 400),
        ("users", json!({"name": "x", "role": "reader"}), 400),
        ("users/ana", json!({"role": "reader"}), 409),
        ("users/nobody", json!({"role": "reader"}), 404),
        ("users/nobody/login", json!({"first": "link"}), 404),
    ] {
        let answer = admin.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    }
    assert_eq!(admin.delete("users/ana").await.status, 409, "another admin can");
    assert_eq!(admin.delete("users/nobody").await.status, 404);
    assert!(logins.user("ana").is_some() && logins.user("x").is_none());
}

#[tokio::test]
async fn the_audit_log_is_searched_and_verified() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    admin.post("devices/bed_1/rotate", json!({})).await;
    let found = admin.get("audit?limit=10&kind=device-rotated&words=BED_1").await.json();
    assert_eq!(found["records"][0]["subject"], "bed_1", "{found}");
    let page = admin.get("audit?limit=1").await.json();
    let next = page["next"].as_u64().unwrap();
    let older = admin.get(&format!("audit?limit=1&before={next}")).await.json();
    assert!(older["records"][0]["sequence"].as_u64().unwrap() < next);
    for injected in INJECTED {
        let words = injected.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let none = admin.get(&format!("audit?limit=10&words={words}")).await;
        assert_eq!((none.status, none.json()["records"].clone()), (200, json!([])), "{injected}");
    }
    for wrong in [
        "",
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=1&from=-1",
        "limit=1&to=253402300800000",
        "limit=1&x=1",
    ] {
        assert_eq!(admin.get(&format!("audit?{wrong}")).await.status, 400, "{wrong}");
    }
    let verified = admin.post("audit/verify", json!({})).await.json();
    assert_eq!(verified["sound"], true, "{verified}");
    let head = verified["head"].clone();
    let again = admin.post("audit/verify", json!({"head": head})).await.json();
    assert_eq!(again["expected_at"], verified["records"], "{again}");
    let other = admin.post("audit/verify", json!({"head": "0".repeat(64)})).await.json();
    assert_eq!(other["sound"], false, "{other}");
    assert_eq!(admin.post("audit/verify", json!({"head": "xyz"})).await.status, 400);
    let file = rusqlite::Connection::open(ward.clinic.data().join("registry.db")).unwrap();
    file.execute("UPDATE audit SET actor = 'someone else' WHERE sequence = 2", []).unwrap();
    let forged = admin.post("audit/verify", json!({})).await.json();
    assert_eq!((&forged["sound"], &forged["records"]), (&false.into(), &1.into()), "{forged}");
}

#[tokio::test]
async fn names_in_addresses_are_names_and_nothing_else() {
    let ward = Ward::open().await;
    let admin = Admin::of(&ward).await;
    for injected in INJECTED {
        let name = injected.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        for path in ["devices/NAME", "patients/NAME"] {
            assert_eq!(admin.get(&path.replace("NAME", &name)).await.status, 404, "{path} {injected}");
        }
        for path in ["devices/NAME/revoke", "devices/NAME/label", "patients/NAME", "users/NAME"] {
            let status = admin.post(&path.replace("NAME", &name), json!({})).await.status;
            assert!(matches!(status, 400 | 404), "{path} {injected}: {status}");
        }
        let enrolled = admin.post("devices", json!({"id": injected})).await;
        assert_eq!(enrolled.status, 400, "{injected}");
    }
    assert_eq!(admin.get("devices").await.json()["devices"].as_array().unwrap().len(), 2);
}
