//! Only the setup key saves, once for each nonce, and one who guesses has to wait.

use std::time::Duration;

use serde_json::json;
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::TRIES_MAX;

use crate::world::{Answer, KEY, Server, World, ask, nonce, post, sealed, settings};

async fn save(server: &Server<'_>, body: &[u8]) -> (Option<Settings>, Answer) {
    ask(server, &post(body), 4_096).await
}

async fn wrong_key(server: &Server<'_>) -> Answer {
    let body = sealed(&settings(), &[0; 16], &nonce(server).await);
    let (saved, answer) = save(server, &body).await;
    assert_eq!(saved, None);
    answer
}

#[tokio::test(start_paused = true)]
async fn a_save_under_the_setup_key_is_kept() {
    let mut world = World::new();
    let server = world.server();
    let (saved, answer) = save(&server, &sealed(&settings(), &KEY, &nonce(&server).await)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"saved": true})));
    assert_eq!(saved, Some(settings()));
    drop(server);
    assert_eq!(world.store.load(), Some(settings()));
}

#[tokio::test(start_paused = true)]
async fn a_captured_save_is_useless() {
    let mut world = World::new();
    let server = world.server();
    let body = sealed(&settings(), &KEY, &nonce(&server).await);
    assert_eq!(save(&server, &body).await.1.status, 200);
    for _ in 0..2 * TRIES_MAX {
        let (saved, answer) = save(&server, &body).await;
        assert_eq!((saved, answer.status, &answer.json()["error"]), (None, 409, &json!("stale")));
    }
    drop(server);
    // Nor after a restart.
    let server = world.server();
    let first_nonce = nonce(&server).await;
    assert_eq!(save(&server, &body).await.1.status, 409);
    assert_eq!(nonce(&server).await, first_nonce, "a stale save uses up no nonce and no try");
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_stale_save_has_the_nonce_that_is_good() {
    let mut world = World::new();
    let server = world.server();
    let (_, answer) = save(&server, b"").await;
    assert_eq!(answer.status, 409);
    let given = answer.json()["nonce"].as_str().unwrap().to_owned();
    let expected: String = nonce(&server).await.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(given, expected);
}

#[tokio::test(start_paused = true)]
async fn a_save_with_any_bit_flipped_is_refused() {
    let mut world = World::new();
    let server = world.server();
    let len = sealed(&settings(), &KEY, &[0; 16]).len();
    for bit in 0..len * 8 {
        let mut body = sealed(&settings(), &KEY, &nonce(&server).await);
        body[bit / 8] ^= 1 << (bit % 8);
        let (saved, answer) = save(&server, &body).await;
        let expected = if bit < 128 { 409 } else { 403 };
        assert_eq!((saved, answer.status), (None, expected), "bit {bit}");
        if answer.json()["tries"] == 0 {
            tokio::time::advance(Duration::from_secs(3_600)).await;
        }
    }
    drop(server);
    assert_eq!(world.store.load(), None);
}

#[tokio::test(start_paused = true)]
async fn five_wrong_keys_are_followed_by_a_pause() {
    let mut world = World::new();
    let server = world.server();
    for left in [4, 3, 2, 1] {
        let answer = wrong_key(&server).await;
        assert_eq!((answer.status, &answer.json()["tries"]), (403, &json!(left)));
        assert_eq!(answer.json()["seconds"], 0);
    }
    let answer = wrong_key(&server).await;
    assert_eq!((&answer.json()["tries"], &answer.json()["seconds"]), (&json!(0), &json!(60)));
    // The right key has to wait too, and the page says so.
    let body = sealed(&settings(), &KEY, &nonce(&server).await);
    tokio::time::advance(Duration::from_millis(30_000)).await;
    let (saved, answer) = save(&server, &body).await;
    assert_eq!((saved, answer.status, answer.json()), (None, 429, json!({"error": "wait", "seconds": 30})));
    let (_, page) = ask(&server, &crate::world::get("/"), 4_096).await;
    assert_eq!(page.state()["wait"], 30);
    tokio::time::advance(Duration::from_millis(30_000)).await;
    assert_eq!(save(&server, &body).await.0, Some(settings()), "waiting used up no nonce");
}

#[tokio::test(start_paused = true)]
async fn the_right_key_ends_the_count_of_wrong_ones() {
    let mut world = World::new();
    let server = world.server();
    for _ in 0..3 {
        for _ in 1..TRIES_MAX {
            assert_eq!(wrong_key(&server).await.status, 403);
        }
        let body = sealed(&settings(), &KEY, &nonce(&server).await);
        assert_eq!(save(&server, &body).await.1.status, 200);
    }
}

/// A save of any CBOR, sealed as the page would.
fn sealed_cbor(cbor: &[u8], nonce: &[u8; 16]) -> Vec<u8> {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    let aad = [b"vitalwire setup v1".as_slice(), nonce].concat();
    let cipher = aes_gcm::Aes128Gcm::new(&KEY.into());
    let content = cipher.encrypt(&[9; 12].into(), Payload { msg: cbor, aad: &aad }).unwrap();
    [nonce.as_slice(), &[9; 12], &content].concat()
}

#[tokio::test(start_paused = true)]
async fn settings_outside_their_limits_are_refused_with_the_reason() {
    let mut world = World::new();
    let server = world.server();
    let long_name = [b"\x84\x61a\x01\x59\x01\x2c".as_slice(), &[b'n'; 300], b"\x60"].concat();
    let long_server = [b"\x84\x79\x01\x2c".as_slice(), &[b'n'; 300], b"\x01\x41n\x60"].concat();
    for (cbor, reason) in [
        (long_name.as_slice(), "the Wi-Fi name has 300 bytes"),
        (&long_server, "the server's address has 300 characters"),
        (b"\x84\x65a b c\x01\x41n\x60", "the server's address is neither"),
        (b"\x84\x61a\x00\x41n\x60", "the server's port is 0"),
        (b"\x84\x61a\x01\x40\x60", "the Wi-Fi name has 0 bytes"),
        (b"\x84\x61a\x01\x41n\x61p", "the Wi-Fi password must"),
        (b"\x84\x61a\x01\x61n\x60", "the settings are not of the form"),
        (b"", "the settings are not of the form"),
    ] {
        let body = sealed_cbor(cbor, &nonce(&server).await);
        let (saved, answer) = save(&server, &body).await;
        assert_eq!((saved, answer.status, &answer.json()["error"]), (None, 422, &json!("settings")));
        assert!(answer.json()["reason"].as_str().unwrap().starts_with(reason), "{answer:?}");
        assert_eq!(answer.json()["nonce"].as_str().unwrap().len(), 32);
    }
    // It was the right key every time.
    assert_eq!(wrong_key(&server).await.json()["tries"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_flash_that_fails_is_said_and_the_old_settings_stay() {
    let mut world = World::new();
    world.store.save(&settings()).unwrap();
    let mut flash = world.store.into_flash();
    flash.power = Some(0);
    world.store = vitalwire_device::store::SettingsStore::new(flash).unwrap();
    let server = world.server();
    let other = Settings::new("other", 1, b"n", "").unwrap();
    let (saved, answer) = save(&server, &sealed(&other, &KEY, &nonce(&server).await)).await;
    assert_eq!((saved, answer.status, &answer.json()["error"]), (None, 500, &json!("flash")));
    drop(server);
    let mut store = vitalwire_device::store::SettingsStore::new(world.store.into_flash().revived()).unwrap();
    assert_eq!(store.load(), Some(settings()));
}
