//! A handshake by hand (RFC 8446 §4.1.2, §4.2.11), because no TLS library offers what the server must refuse: `psk_ke`
//! alone, the mode without a key exchange, in which a key that leaks later opens every recorded session.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::sign::Signer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::{Clinic, closes};
use vitalwire_testing::link::LinkDevice;

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;
const PSK_KE: u8 = 0;
const PSK_DHE_KE: u8 = 1;
const HASH_LEN: usize = 32;

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(data).unwrap()
}

fn sha256(data: &[u8]) -> Vec<u8> {
    hash(MessageDigest::sha256(), data).unwrap().to_vec()
}

/// HKDF-Expand-Label of RFC 8446 §7.1 for one block of output.
fn expand_label(secret: &[u8], label: &str, context: &[u8]) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let mut info = (HASH_LEN as u16).to_be_bytes().to_vec();
    info.extend(prefixed_8(label.as_bytes()));
    info.extend(prefixed_8(context));
    info.push(1);
    hmac(secret, &info)
}

fn prefixed_8(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn prefixed_16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &prefixed_16(body)].concat()
}

/// A record with the `ClientHello` of this device, offering these key exchange modes.
fn client_hello(device: &LinkDevice, modes: &[u8]) -> Vec<u8> {
    let random: [u8; 32] = rand::random();
    let share: [u8; 32] = rand::random();
    let identity = prefixed_16(&device.link.id.digits());
    let identities = prefixed_16(&[identity, vec![0; 4]].concat());
    let binders_len = 2 + 1 + HASH_LEN;
    let extensions = [
        // supported_versions: 1.3; supported_groups: x25519; key_share: any 32 bytes are a point of it.
        extension(43, &prefixed_8(&[3, 4])),
        extension(10, &prefixed_16(&[0, 0x1d])),
        extension(51, &prefixed_16(&[&[0, 0x1d][..], &prefixed_16(&share)].concat())),
        extension(45, &prefixed_8(modes)),
        [&41_u16.to_be_bytes()[..], &((identities.len() + binders_len) as u16).to_be_bytes(), &identities]
            .concat(),
    ]
    .concat();
    let mut hello =
        [&[3, 3][..], &random, &prefixed_8(&[]), &prefixed_16(&[0x13, 0x01]), &prefixed_8(&[0])].concat();
    hello.extend(((extensions.len() + binders_len) as u16).to_be_bytes());
    hello.extend(extensions);
    let len = hello.len() + binders_len;
    let mut message = [&[1, 0][..], &(len as u16).to_be_bytes(), &hello].concat();
    let early_secret = hmac(&[0; HASH_LEN], device.link.psk.bytes());
    let binder_key = expand_label(&early_secret, "ext binder", &sha256(&[]));
    let finished_key = expand_label(&binder_key, "finished", &[]);
    let binder = hmac(&finished_key, &sha256(&message));
    message.extend(prefixed_16(&prefixed_8(&binder)));
    [&[HANDSHAKE, 3, 1][..], &prefixed_16(&message)].concat()
}

/// The type of the server's first record, and its first content byte.
async fn answer_to(device: &LinkDevice, modes: &[u8]) -> (u8, u8) {
    let mut stream = TcpStream::connect(device.address).await.unwrap();
    stream.write_all(&client_hello(device, modes)).await.unwrap();
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> (u8, u8) {
    let mut record = [0; 6];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut record)).await.expect("an answer").unwrap();
    (record[0], record[5])
}

#[tokio::test]
async fn a_hello_in_several_records_and_single_bytes_is_understood() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    for record_len in [1, 3, 100, 1_000] {
        let hello = client_hello(&device, &[PSK_DHE_KE]);
        let records = hello[5..].chunks(record_len).flat_map(|part| {
            let header = [HANDSHAKE, 3, 1];
            [&header[..], &prefixed_16(part)].concat()
        });
        let mut stream = TcpStream::connect(device.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in records {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(answer(&mut stream).await, (HANDSHAKE, SERVER_HELLO), "records of {record_len}");
    }
}

#[tokio::test]
async fn what_is_no_hello_or_a_huge_one_ends_the_connection_at_the_byte_that_shows_it() {
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    // Alert instead of a handshake, a ServerHello, and hellos of 8 KiB and 16 MiB.
    let begins: [&[u8]; 4] = [
        &[HANDSHAKE, 3, 1, 0, 1, 1, ALERT],
        &[HANDSHAKE, 3, 1, 0, 100, SERVER_HELLO],
        &[HANDSHAKE, 3, 1, 0x20, 0],
        &[HANDSHAKE, 3, 1, 0, 100, 1, 0xff, 0xff, 0xff],
    ];
    for begin in begins {
        let mut stream = TcpStream::connect(device.address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        closes(&mut stream, &format!("{begin:02x?}")).await;
    }
    assert!(device.is_accepted().await);
}

#[tokio::test]
async fn psk_ke_alone_is_refused() {
    const FATAL: u8 = 2;
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    for modes in [&[PSK_DHE_KE][..], &[PSK_KE, PSK_DHE_KE]] {
        assert_eq!(
            answer_to(&device, modes).await,
            (HANDSHAKE, SERVER_HELLO),
            "the hello is right: {modes:?}"
        );
    }
    assert_eq!(answer_to(&device, &[PSK_KE]).await, (ALERT, FATAL));
}
