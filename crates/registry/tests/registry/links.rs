//! Devices that speak TLS: their links in the directory, rotation with an overlap, and what PROTOCOL.md promises.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use vitalwire_registry::{
    BrokenCause, DeviceKey, Directory, Link, LinkId, LinkKeys, Protocol, Psk, ROTATION_OVERLAP,
    ROTATION_OVERLAP_MAX, RegistryError, RowName,
};

use crate::fixture::{Fixture, id, link_of, numbered};

const PROTOCOL_TEXT: &str = include_str!("../../../../PROTOCOL.md");

fn later(than: Duration) -> SystemTime {
    SystemTime::now() + than
}

/// What a rotation gave: the new link, and until when the old one works.
fn rotate(fixture: &Fixture, device: &str, overlap: Duration) -> (Link, Option<(Link, SystemTime)>) {
    match fixture.registry.rotate_device(&id(device), overlap).unwrap() {
        DeviceKey::Tls(LinkKeys { current, previous }) => {
            (current, previous.map(|previous| (previous.link, previous.valid_until)))
        }
        DeviceKey::AesCbc(_) => panic!("{device} speaks TLS"),
    }
}

fn finds(directory: &Directory, link: &Link, now: SystemTime) -> Option<(String, bool)> {
    let found = directory.link(&link.id, now)?;
    assert!(found.psk == link.psk);
    assert!(found.device.accepts(&link.id, now));
    Some((found.device.id.to_string(), found.is_current))
}

fn current(device: &str) -> Option<(String, bool)> {
    Some((device.to_owned(), true))
}

fn previous(device: &str) -> Option<(String, bool)> {
    Some((device.to_owned(), false))
}

#[test]
fn psk_is_that_of_the_specification() {
    let vector = PROTOCOL_TEXT.split("### ").find(|section| section.starts_with("4.7")).unwrap();
    let value = |name: &str| {
        let line = vector.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap()
    };
    let bytes = |digits: &str| -> [u8; 32] {
        std::array::from_fn(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap())
    };
    let link: LinkId = value("link id").parse().unwrap();
    assert_eq!(*Psk::derive(&bytes(value("device key")), &link).bytes(), bytes(value("psk")));
}

#[test]
fn an_enrolled_device_is_found_by_its_link_with_its_key() {
    let fixture = Fixture::new();
    let a = fixture.registry.add_tls_device(&id("a")).unwrap();
    let b = fixture.registry.add_tls_device(&id("b")).unwrap();
    fixture.registry.add_cbc_device(&id("frames"), None).unwrap();
    let directory = fixture.reopen().directory().unwrap();
    let now = SystemTime::now();
    assert_eq!((finds(&directory, &a, now), finds(&directory, &b, now)), (current("a"), current("b")));
    assert!(directory.link(&"00112233445566778899aabbccddeeff".parse().unwrap(), now).is_none());
    assert_eq!(directory.devices["a"].protocol(), Protocol::Tls);
    assert!(directory.devices["a"].cbc_secret().is_none());
    assert!(!directory.devices["a"].accepts(&b.id, now) && !directory.devices["frames"].accepts(&a.id, now));
    let key = LinkKeys { current: a.clone(), previous: None };
    assert!(fixture.registry.device_key(&id("a")).unwrap() == DeviceKey::Tls(key));
    let info = fixture.registry.device(&id("a")).unwrap();
    assert_eq!((info.protocol, info.link, info.previous_link_until), (Protocol::Tls, Some(a.id), None));
}

#[test]
fn several_are_enrolled_all_or_none_each_with_its_own_link() {
    let fixture = Fixture::new();
    let ids: Vec<_> = (0..50).map(|number| id(&format!("d{number}"))).collect();
    let links = fixture.registry.add_tls_devices(&ids).unwrap();
    assert_eq!(links.iter().map(|link| link.id).collect::<BTreeSet<_>>().len(), 50);
    let directory = fixture.registry.directory().unwrap();
    for (id, link) in ids.iter().zip(&links) {
        assert_eq!(finds(&directory, link, SystemTime::now()), current(id.as_str()));
    }
    let again = fixture.registry.add_tls_devices(&[id("new"), id("d7")]);
    assert!(matches!(again, Err(RegistryError::DeviceExists(d)) if d == id("d7")));
    assert_eq!(fixture.registry.devices().unwrap().len(), 50);
}

#[test]
fn after_a_rotation_both_links_work_until_the_deadline() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_tls_device(&id("a")).unwrap();
    let before = fixture.registry.directory().unwrap();
    let (new, pending) = rotate(&fixture, "a", ROTATION_OVERLAP);
    let (retired, until) = pending.unwrap();
    assert!(retired == old && new.id != old.id && new.psk != old.psk);
    let days = until.duration_since(SystemTime::now()).unwrap().as_secs_f64() / 86_400.0;
    assert!((6.9..7.1).contains(&days), "{days}");
    let loaded = fixture.reopen().directory().unwrap();
    let stepped = before.with(fixture.registry.changes_since(before.version).unwrap());
    for directory in [loaded, stepped] {
        let now = SystemTime::now();
        assert_eq!(finds(&directory, &new, now), current("a"));
        assert_eq!(finds(&directory, &old, until - Duration::from_secs(1)), previous("a"));
        assert_eq!(finds(&directory, &old, until), None);
        assert!(!directory.devices["a"].accepts(&old.id, until));
        assert_eq!(finds(&directory, &new, later(ROTATION_OVERLAP * 100)), current("a"));
        assert_eq!(directory.devices["a"].generation, 2);
    }
    let info = fixture.registry.device(&id("a")).unwrap();
    assert_eq!((info.link, info.previous_link_until), (Some(new.id), Some(until)));
}

#[test]
fn the_first_use_of_the_new_link_ends_the_old_one() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_tls_device(&id("a")).unwrap();
    assert!(!fixture.registry.confirm_rotation(&id("a"), &old.id).unwrap(), "nothing is pending");
    let (new, _) = rotate(&fixture, "a", ROTATION_OVERLAP);
    let pending = fixture.registry.directory().unwrap();
    assert!(!fixture.registry.confirm_rotation(&id("a"), &old.id).unwrap(), "the old link confirms nothing");
    assert!(!fixture.registry.confirm_rotation(&id("b"), &new.id).unwrap());
    assert_eq!(fixture.registry.directory().unwrap().version, pending.version);
    assert!(fixture.registry.confirm_rotation(&id("a"), &new.id).unwrap());
    assert!(!fixture.registry.confirm_rotation(&id("a"), &new.id).unwrap(), "once");
    let confirmed = pending.with(fixture.registry.changes_since(pending.version).unwrap());
    let now = SystemTime::now();
    assert_eq!((finds(&confirmed, &new, now), finds(&confirmed, &old, now)), (current("a"), None));
    assert_eq!(confirmed.devices["a"].generation, 2);
    assert_eq!(fixture.registry.device(&id("a")).unwrap().previous_link_until, None);
}

#[test]
fn a_second_rotation_drops_the_oldest_link() {
    let fixture = Fixture::new();
    let first = fixture.registry.add_tls_device(&id("a")).unwrap();
    let (second, _) = rotate(&fixture, "a", ROTATION_OVERLAP);
    let (third, _) = rotate(&fixture, "a", ROTATION_OVERLAP);
    let directory = fixture.registry.directory().unwrap();
    let now = SystemTime::now();
    assert_eq!(finds(&directory, &third, now), current("a"));
    assert_eq!(finds(&directory, &second, now), previous("a"));
    assert_eq!(finds(&directory, &first, now), None);
}

#[test]
fn a_rotation_without_overlap_ends_the_old_link_at_once_and_too_long_ones_are_refused() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_tls_device(&id("a")).unwrap();
    let (new, pending) = rotate(&fixture, "a", Duration::ZERO);
    assert!(pending.is_none());
    let directory = fixture.registry.directory().unwrap();
    let now = SystemTime::now();
    assert_eq!((finds(&directory, &new, now), finds(&directory, &old, now)), (current("a"), None));
    let refused = fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP_MAX + Duration::from_secs(1));
    assert!(matches!(refused, Err(RegistryError::OverlapTooLong { days: 91 })), "{refused:?}");
    fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP_MAX).unwrap();
}

#[test]
fn a_part_of_a_second_is_an_overlap() {
    let fixture = Fixture::new();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    let (_, pending) = rotate(&fixture, "a", Duration::from_millis(1));
    assert!(pending.is_some());
}

#[test]
fn revoking_ends_both_links_and_a_name_may_come_back_for_another_protocol() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_tls_device(&id("a")).unwrap();
    let (new, _) = rotate(&fixture, "a", ROTATION_OVERLAP);
    let before = fixture.registry.directory().unwrap();
    fixture.registry.revoke_device(&id("a")).unwrap();
    let revoked = before.with(fixture.registry.changes_since(before.version).unwrap());
    let now = SystemTime::now();
    assert_eq!((finds(&revoked, &new, now), finds(&revoked, &old, now)), (None, None));
    fixture.registry.add_cbc_device(&id("a"), Some(numbered(1))).unwrap();
    let frames = revoked.with(fixture.registry.changes_since(revoked.version).unwrap());
    assert_eq!((frames.devices["a"].protocol(), frames.devices["a"].generation), (Protocol::AesCbc, 3));
    fixture.registry.revoke_device(&id("a")).unwrap();
    let again = fixture.registry.add_tls_device(&id("a")).unwrap();
    assert_eq!(finds(&fixture.registry.directory().unwrap(), &again, now), current("a"));
}

#[test]
fn exchanged_protocols_links_and_deadlines_are_found_and_the_link_is_gone() {
    for change in [
        "protocol = 'aes-cbc'",
        "link = previous_link, previous_link = NULL",
        "link = NULL",
        "link = x'00'",
        "link = x'00112233445566778899aabbccddeeff'",
        "sealed = previous_sealed",
        "previous_until = previous_until + 1",
        "previous_until = -1",
        "previous_until = NULL",
        "previous_link = x'00112233445566778899aabbccddeeff'",
        "previous_sealed = sealed",
        "previous_sealed = NULL",
    ] {
        let fixture = Fixture::new();
        let old = fixture.registry.add_tls_device(&id("a")).unwrap();
        let (new, _) = rotate(&fixture, "a", ROTATION_OVERLAP);
        let other = fixture.registry.add_tls_device(&id("b")).unwrap();
        let before = fixture.registry.directory().unwrap();
        fixture.tamper(&format!(
            "UPDATE registry SET version = version + 1;
             UPDATE devices SET version = (SELECT version FROM registry), {change} WHERE id = 'a'"
        ));
        let now = SystemTime::now();
        let stepped = before.with(fixture.registry.changes_since(before.version).unwrap());
        for directory in [fixture.registry.directory().unwrap(), stepped] {
            let broken = directory.broken.get(&RowName::Device("a".to_owned()));
            assert_eq!(broken, Some(&BrokenCause::Seal), "{change}");
            assert_eq!(
                (finds(&directory, &new, now), finds(&directory, &old, now)),
                (None, None),
                "{change}"
            );
            assert_eq!(finds(&directory, &other, now), current("b"));
        }
    }
}

#[test]
fn a_tls_device_cannot_be_turned_into_one_with_frames_by_exchanging_rows() {
    let fixture = Fixture::new();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.registry.add_cbc_device(&id("b"), None).unwrap();
    fixture.tamper(
        "CREATE TEMP TABLE before AS SELECT * FROM devices;
         UPDATE devices SET (protocol, sealed, link) = (SELECT protocol, sealed, link FROM before WHERE id = 'b')
             WHERE id = 'a'",
    );
    let directory = fixture.registry.directory().unwrap();
    assert!(directory.broken.contains_key(&RowName::Device("a".to_owned())));
}

#[test]
fn a_broken_link_is_healed_by_rotating_and_the_old_key_is_not_kept() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.tamper("UPDATE devices SET sealed = x'00'");
    let (new, pending) = rotate(&fixture, "a", ROTATION_OVERLAP);
    assert!(pending.is_none());
    let directory = fixture.registry.directory().unwrap();
    let now = SystemTime::now();
    assert_eq!((finds(&directory, &new, now), finds(&directory, &old, now)), (current("a"), None));
}

#[test]
fn incremental_directories_equal_loaded_ones_over_random_lives() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let fixture = Fixture::new();
    let mut directory = fixture.registry.directory().unwrap();
    let mut ever: Vec<Link> = Vec::new();
    for _ in 0..300 {
        let id = id(&format!("d{}", random.random_range(0..6)));
        match random.random_range(0..5) {
            0 | 1 => ever.extend(fixture.registry.add_tls_device(&id).ok()),
            2 => {
                let key = fixture.registry.rotate_device(&id, ROTATION_OVERLAP).ok();
                ever.extend(key.map(|key| link_of(&key)));
            }
            3 => {
                if let Ok(DeviceKey::Tls(links)) = fixture.registry.device_key(&id) {
                    fixture.registry.confirm_rotation(&id, &links.current.id).unwrap();
                }
            }
            _ => drop(fixture.registry.revoke_device(&id)),
        }
        if random.random_bool(0.5) {
            directory = directory.with(fixture.registry.changes_since(directory.version).unwrap());
            let loaded = fixture.registry.directory().unwrap();
            let now = SystemTime::now();
            for link in &ever {
                assert_eq!(finds(&directory, link, now), finds(&loaded, link, now), "seed {seed}");
            }
        }
    }
    assert!(ever.len() > 50, "seed {seed}");
}
