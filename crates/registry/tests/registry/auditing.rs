//! The audit log: what is recorded, and that no tampering with the file goes unseen.

use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use vitalwire_access::Role;
use vitalwire_registry::{
    AUDIT_LOOK_MAX, AuditFault, AuditHead, AuditPage, AuditQuery, AuditRecord, DATABASE_FILE, LoginKind,
    ROTATION_OVERLAP, Registry,
};

use crate::fixture::{Fixture, id, name, numbered, password, reader};

const COLUMNS: [&str; 6] = ["time_us", "kind", "subject", "actor", "detail", "chain"];

/// A log of seven records, of a registry on which nothing else happened.
fn seven_records() -> Fixture {
    let fixture = Fixture::new();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.registry.add_tls_device(&id("b")).unwrap();
    fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP).unwrap();
    fixture.registry.revoke_device(&id("b")).unwrap();
    fixture.registry.request_erasure(&id("b")).unwrap();
    fixture.registry.record_login(LoginKind::Refused, "mallory", "wrong password").unwrap();
    assert_eq!(fixture.registry.audit_records().unwrap(), 7);
    assert_eq!(fault(&fixture), None);
    fixture
}

fn fault(fixture: &Fixture) -> Option<AuditFault> {
    fixture.reopen().verify_audit(None).unwrap().fault
}

fn head(fixture: &Fixture) -> AuditHead {
    fixture.registry.verify_audit(None).unwrap().head
}

fn told(record: &AuditRecord) -> (&str, &str, &str) {
    (&record.kind, &record.subject, &record.detail)
}

fn last(fixture: &Fixture) -> AuditRecord {
    fixture.registry.audit(0, usize::MAX).unwrap().pop().unwrap()
}

#[test]
fn each_change_of_a_device_is_recorded() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let before = SystemTime::now();
    let first = last(&fixture);
    assert_eq!(told(&first), ("log-started", "", "there were 0 devices and 0 users before"));
    assert_eq!(first.sequence, 1);

    let link = registry.add_tls_device(&id("a")).unwrap();
    let detail = format!("tls, generation 1, link {}", link.id);
    assert_eq!(told(&last(&fixture)), ("device-enrolled", "a", detail.as_str()));
    let key = registry.rotate_device(&id("a"), Duration::from_secs(60)).unwrap();
    let new = key.links().unwrap().current.id;
    let detail = format!("tls, generation 2, link {new}, old key accepted for up to 60 s");
    assert_eq!(told(&last(&fixture)), ("device-rotated", "a", detail.as_str()));
    registry.confirm_rotation(&id("a"), &new).unwrap();
    assert_eq!(told(&last(&fixture)), ("rotation-confirmed", "a", format!("link {new}").as_str()));
    registry.device_key(&id("a")).unwrap();
    assert_eq!(told(&last(&fixture)), ("key-shown", "a", "tls"));
    registry.revoke_device(&id("a")).unwrap();
    assert_eq!(told(&last(&fixture)), ("device-revoked", "a", ""));
    registry.request_erasure(&id("a")).unwrap();
    assert_eq!(told(&last(&fixture)), ("erasure-requested", "a", ""));
    registry.erasure_done(&id("a"), 12, "none left").unwrap();
    assert_eq!(told(&last(&fixture)), ("device-erased", "a", "12 entries; none left"));
    registry.add_cbc_device(&id("b"), None).unwrap();
    assert_eq!(told(&last(&fixture)), ("device-enrolled", "b", "aes-cbc, generation 1"));
    let records = registry.audit(0, usize::MAX).unwrap();
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    for record in &records[1..] {
        assert!(record.time >= before && record.time <= SystemTime::now());
        assert!(record.actor.contains("uid "), "{}", record.actor);
    }
}

#[test]
fn each_change_of_a_user_is_recorded_without_its_password() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    registry.add_cbc_device(&id("a"), None).unwrap();
    registry.add_user(&name("ana"), reader(&["a"]), &password("correct horse")).unwrap();
    assert_eq!(told(&last(&fixture)), ("user-added", "ana", "reader of a"));
    registry.set_role(&name("ana"), &Role::Admin).unwrap();
    assert_eq!(told(&last(&fixture)), ("role-set", "ana", "admin"));
    registry.set_password(&name("ana"), &password("battery staple")).unwrap();
    assert_eq!(told(&last(&fixture)), ("password-set", "ana", ""));
    registry.remove_user(&name("ana")).unwrap();
    assert_eq!(told(&last(&fixture)), ("user-removed", "ana", ""));
    let all = format!("{:?}", registry.audit(0, usize::MAX).unwrap());
    assert!(!all.contains("horse") && !all.contains("staple") && !all.contains("argon2"), "{all}");
}

#[test]
fn what_did_not_happen_is_not_recorded() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("taken"), None).unwrap();
    let before = head(&fixture);
    let batch = [(id("x"), numbered(1)), (id("y"), numbered(2)), (id("taken"), numbered(3))];
    assert!(fixture.registry.add_cbc_devices(&batch).is_err());
    assert!(fixture.registry.revoke_device(&id("nobody")).is_err());
    assert!(!fixture.registry.erasure_done(&id("nobody"), 0, "").unwrap());
    let line = r#"{"id":"new","key":"key0000000000007","iv":"AAAAAAAAAAAAAAAA"}"#;
    assert!(fixture.registry.import_paper_keys(format!("{line}\nbroken").as_bytes()).is_err());
    assert_eq!(head(&fixture), before);
    fixture.registry.import_paper_keys(line.as_bytes()).unwrap();
    assert_eq!(told(&last(&fixture)), ("device-enrolled", "new", "aes-cbc, generation 1"));
}

#[test]
fn the_part_of_the_program_is_named() {
    let fixture = Fixture::new();
    let server = fixture.reopen().acting_as("server");
    server.record_login(LoginKind::Device, "a", "link 00112233445566778899aabbccddeeff").unwrap();
    let record = last(&fixture);
    assert!(record.actor.starts_with("server as ") && record.actor.contains("uid "), "{}", record.actor);
}

#[test]
fn logins_are_recorded_without_a_new_version_and_their_counts_at_the_end() {
    let fixture = Fixture::new();
    let version = fixture.registry.directory().unwrap().version;
    let server = fixture.reopen();
    for _ in 0..1_000 {
        server.record_login(LoginKind::Refused, "mallory\n", "unknown name or wrong password").unwrap();
    }
    let detail = "unknown name or wrong password";
    assert_eq!(told(&last(&fixture)), ("login-refused", "mallory\u{fffd}", detail));
    assert_eq!(fixture.registry.audit_records().unwrap(), 2);
    drop(server);
    assert_eq!(told(&last(&fixture)), ("login-refused", "mallory\u{fffd}", "999 more within 60 s"));
    assert_eq!(fixture.registry.directory().unwrap().version, version);
    assert_eq!(fault(&fixture), None);
}

#[test]
fn records_are_read_page_by_page() {
    let fixture = seven_records();
    let page = |after, limit| -> Vec<u64> {
        let records = fixture.registry.audit(after, limit).unwrap();
        records.iter().map(|record| record.sequence).collect()
    };
    assert_eq!(page(0, 3), [1, 2, 3]);
    assert_eq!(page(3, 3), [4, 5, 6]);
    assert_eq!(page(6, 3), [7]);
    assert!(page(7, 3).is_empty() && page(u64::MAX, 3).is_empty());
}

#[test]
fn a_changed_record_is_found_whichever_record_and_column() {
    for sequence in 1..=7 {
        for column in COLUMNS {
            let fixture = seven_records();
            let value = match column {
                "time_us" => "time_us + 1",
                "chain" => "zeroblob(32)",
                "subject" => "subject || 'x'",
                _ => "'forged'",
            };
            fixture.tamper(&format!("UPDATE audit SET {column} = {value} WHERE sequence = {sequence}"));
            let expected = Some(AuditFault::Changed { sequence });
            assert_eq!(fault(&fixture), expected, "{column} of {sequence}");
        }
    }
}

#[test]
fn text_moved_between_columns_is_found() {
    let fixture = seven_records();
    fixture.tamper("UPDATE audit SET subject = '', detail = subject || detail WHERE sequence = 4");
    assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence: 4 }));
}

#[test]
fn a_removed_record_is_found_whichever() {
    for sequence in 1..=6_u64 {
        let fixture = seven_records();
        fixture.tamper(&format!("DELETE FROM audit WHERE sequence = {sequence}"));
        let next = i64::try_from(sequence).unwrap() + 1;
        assert_eq!(fault(&fixture), Some(AuditFault::Missing { sequence, next }));
    }
}

#[test]
fn a_removed_record_whose_gap_was_closed_is_found() {
    for sequence in 1..=6 {
        let fixture = seven_records();
        let mut sql = format!("DELETE FROM audit WHERE sequence = {sequence};");
        for later in sequence + 1..=7 {
            sql += &format!("UPDATE audit SET sequence = {} WHERE sequence = {later};", later - 1);
        }
        fixture.tamper(&sql);
        assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence }));
    }
}

#[test]
fn an_inserted_record_is_found_wherever() {
    for place in 1..=8 {
        let fixture = seven_records();
        let mut sql = String::new();
        for later in (place..=7).rev() {
            sql += &format!("UPDATE audit SET sequence = {} WHERE sequence = {later};", later + 1);
        }
        sql += &format!(
            "INSERT INTO audit SELECT {place}, time_us, kind, 'c', actor, detail, chain FROM audit
             WHERE sequence = {}",
            if place == 1 { 2 } else { 1 }
        );
        fixture.tamper(&sql);
        assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence: place }));
    }
    for outside in [0, -5] {
        let fixture = seven_records();
        fixture.tamper(&format!(
            "INSERT INTO audit SELECT {outside}, time_us, kind, subject, actor, detail, chain FROM audit
             WHERE sequence = 1"
        ));
        assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence: outside }));
    }
}

#[test]
fn reordered_records_are_found() {
    for first in 1..=6 {
        let second = first + 1;
        let fixture = seven_records();
        fixture.tamper(&format!(
            "UPDATE audit SET sequence = -1 WHERE sequence = {first};
             UPDATE audit SET sequence = {first} WHERE sequence = {second};
             UPDATE audit SET sequence = {second} WHERE sequence = -1"
        ));
        assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence: first }));
    }
}

#[test]
fn a_cut_end_is_found_without_a_noted_head() {
    for left in 0..=6_u64 {
        let fixture = seven_records();
        fixture.tamper(&format!("DELETE FROM audit WHERE sequence > {left}"));
        assert_eq!(fault(&fixture), Some(AuditFault::End { found: left, expected: 7 }));
    }
}

#[test]
fn a_cut_end_is_found_also_when_the_registrys_row_was_adapted_to_it() {
    for left in 0..=6 {
        for seal in ["audit_seal", "NULL", "zeroblob(32)"] {
            let fixture = seven_records();
            fixture.tamper(&format!(
                "DELETE FROM audit WHERE sequence > {left};
                 UPDATE registry SET audit_records = {left}, audit_seal = {seal},
                     audit_head = (SELECT chain FROM audit WHERE sequence = {left})"
            ));
            assert_eq!(fault(&fixture), Some(AuditFault::Unsealed));
            // Going on does not heal it, and does not stop the registry from being used.
            fixture.registry.add_tls_device(&id("later")).unwrap();
            fixture.registry.revoke_device(&id("later")).unwrap();
            assert!(fault(&fixture).is_some());
        }
    }
}

#[test]
fn going_on_after_a_plain_cut_leaves_the_gap_visible() {
    let fixture = seven_records();
    fixture.tamper("DELETE FROM audit WHERE sequence > 5");
    fixture.registry.add_tls_device(&id("later")).unwrap();
    assert_eq!(last(&fixture).sequence, 8);
    assert_eq!(fault(&fixture), Some(AuditFault::Missing { sequence: 6, next: 8 }));
}

#[test]
fn a_record_put_beyond_the_end_does_not_keep_a_device_from_being_revoked() {
    let fixture = seven_records();
    fixture.tamper(
        "INSERT INTO audit SELECT 8, time_us, kind, subject, actor, detail, chain FROM audit
         WHERE sequence = 7",
    );
    fixture.registry.revoke_device(&id("a")).unwrap();
    assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence: 8 }));
}

#[test]
fn an_earlier_copy_of_the_whole_file_is_found_by_a_noted_head_only() {
    let fixture = seven_records();
    let earlier = head(&fixture);
    let checkpointed = |fixture: &Fixture| {
        let connection = Connection::open(fixture.database()).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    };
    checkpointed(&fixture);
    let copy = std::fs::read(fixture.database()).unwrap();
    fixture.registry.revoke_device(&id("a")).unwrap();
    let later = head(&fixture);
    let report = fixture.registry.verify_audit(Some(earlier)).unwrap();
    assert_eq!((report.fault, report.expected_at, report.records), (None, Some(7), 8));
    let (data, master, folder) = (fixture.data(), &fixture.master, fixture.database());
    drop(fixture.registry);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", folder.display()));
    }
    std::fs::write(data.join(DATABASE_FILE), copy).unwrap();
    let restored = Registry::open(&data, master).unwrap();
    assert_eq!(restored.verify_audit(None).unwrap().fault, None);
    assert_eq!(restored.verify_audit(Some(earlier)).unwrap().fault, None);
    let report = restored.verify_audit(Some(later)).unwrap();
    assert_eq!(report.fault, Some(AuditFault::HeadUnknown { expected: later }));
    assert!(report.fault.unwrap().to_string().contains(&later.to_string()));
}

#[test]
fn the_log_of_another_registry_does_not_pass() {
    let (fixture, other) = (seven_records(), seven_records());
    fixture.tamper(&format!(
        "ATTACH '{}' AS other; DELETE FROM audit; INSERT INTO audit SELECT * FROM other.audit;
         UPDATE registry SET (audit_records, audit_head, audit_seal) =
             (SELECT audit_records, audit_head, audit_seal FROM other.registry)",
        other.database().display()
    ));
    assert_eq!(fault(&fixture), Some(AuditFault::Changed { sequence: 1 }));
}

#[test]
fn two_writers_at_once_keep_one_chain() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let registry = fixture.reopen();
            scope.spawn(move || {
                for number in 0..30 {
                    registry.add_tls_device(&id(&format!("d{writer}-{number}"))).unwrap();
                }
            });
        }
    });
    let report = fixture.registry.verify_audit(None).unwrap();
    assert_eq!((report.records, report.fault), (91, None));
}

#[test]
fn any_random_change_of_any_record_is_found() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let fixture = seven_records();
    let connection = Connection::open(fixture.database()).unwrap();
    connection.execute_batch("CREATE TEMP TABLE before AS SELECT * FROM audit").unwrap();
    for _ in 0..200 {
        let sequence = random.random_range(1..=7);
        let column = COLUMNS[random.random_range(0..COLUMNS.len())];
        if column == "time_us" {
            let bit: i64 = 1 << random.random_range(0..63);
            let sql = "UPDATE audit SET time_us = (time_us | ?1) - (time_us & ?1) WHERE sequence = ?2";
            connection.execute(sql, (bit, sequence)).unwrap();
        } else {
            let sql = format!("SELECT CAST({column} AS BLOB) FROM audit WHERE sequence = ?1");
            let mut bytes: Vec<u8> = connection.query_row(&sql, [sequence], |row| row.get(0)).unwrap();
            if bytes.is_empty() {
                bytes.push(b'x');
            } else {
                let place = random.random_range(0..bytes.len());
                bytes[place] ^= 1 << random.random_range(0..8);
            }
            let kind = if column == "chain" { "BLOB" } else { "TEXT" };
            let sql = format!("UPDATE audit SET {column} = CAST(?1 AS {kind}) WHERE sequence = ?2");
            connection.execute(&sql, (bytes, sequence)).unwrap();
        }
        let found = fault(&fixture);
        assert_eq!(found, Some(AuditFault::Changed { sequence }), "seed {seed}, {column}");
        connection.execute_batch("DELETE FROM audit; INSERT INTO audit SELECT * FROM temp.before").unwrap();
    }
}

#[test]
fn records_are_found_by_kind_words_and_time_the_newest_first() {
    let fixture = seven_records();
    let search = |query: AuditQuery| fixture.registry.audit_search(&query).unwrap();
    let found = |page: &AuditPage| page.records.iter().map(|record| record.sequence).collect::<Vec<_>>();
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    let page = search(all.clone());
    assert_eq!((found(&page), page.next), (vec![7, 6, 5, 4, 3, 2, 1], None));
    let first = search(AuditQuery { limit: 3, ..all.clone() });
    assert_eq!((found(&first), first.next), (vec![7, 6, 5], Some(5)));
    let next = search(AuditQuery { before: first.next, ..all.clone() });
    assert_eq!((found(&next), next.next), (vec![4, 3, 2, 1], None));
    let of = |kind: Option<&str>, words: Option<&str>| {
        let query =
            AuditQuery { kind: kind.map(str::to_owned), words: words.map(str::to_owned), ..all.clone() };
        found(&search(query))
    };
    assert_eq!(of(Some("device-revoked"), None), [5]);
    assert_eq!(of(None, Some("MALLORY")), [7]);
    assert_eq!(of(Some("device-revoked"), Some("mallory")), [0_u64; 0]);
    for injected in ["' OR 1=1 --", "%", "_", "\"", "\\", "'; DROP TABLE audit; --"] {
        assert_eq!(of(Some(injected), None), [0_u64; 0], "{injected}");
        assert_eq!(of(None, Some(injected)), [0_u64; 0], "{injected}");
    }
    let time_us = |time: SystemTime| {
        i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
    };
    let fourth = time_us(page.records[3].time);
    let since = search(AuditQuery { from_us: Some(fourth), ..all.clone() });
    assert!(since.records.iter().all(|record| time_us(record.time) >= fourth) && since.records.len() >= 4);
    let until = search(AuditQuery { to_us: Some(fourth), ..all });
    assert!(until.records.iter().all(|record| time_us(record.time) < fourth), "without it");
    assert_eq!(fault(&fixture), None, "a look changes nothing");
}

#[test]
fn a_long_log_is_looked_at_in_parts() {
    let fixture = Fixture::new();
    let gap = AUDIT_LOOK_MAX + 10;
    fixture.tamper(&format!(
        "INSERT INTO audit (sequence, time_us, kind, subject, actor, detail, chain)
         VALUES ({gap}, 1, 'key-shown', 'x', 'y', '', zeroblob(32))"
    ));
    let query = AuditQuery { kind: Some("log-started".to_owned()), limit: 5, ..AuditQuery::default() };
    let first = fixture.registry.audit_search(&query).unwrap();
    assert_eq!((first.records.len(), first.next), (0, Some(11)));
    let second = fixture.registry.audit_search(&AuditQuery { before: first.next, ..query }).unwrap();
    assert_eq!((second.records.len(), second.next), (1, None));
}

#[test]
fn what_is_done_for_a_person_has_their_name() {
    let mut fixture = Fixture::new();
    let own = last(&fixture).actor;
    let added = fixture.registry.acting_for("ana", |registry| registry.add_tls_device(&id("a")));
    added.unwrap();
    assert_eq!(last(&fixture).actor, format!("ana by {own}"));
    fixture.registry.revoke_device(&id("a")).unwrap();
    assert_eq!(last(&fixture).actor, own);
    assert_eq!(fault(&fixture), None);
}
