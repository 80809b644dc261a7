//! A server that does what it must not ends the session, and nothing else: the device comes again, and a good server gets
//! all.

use vitalwire_protocol::batch::{Hello, Welcome, encode_ack, encode_hello, encode_welcome};
use vitalwire_simulator::fleet::{BatchCount, FleetConfig};

use crate::server::{Manner, Server, written};
use crate::{Running, check_values, fleet, keys};

async fn comes_again_after(rude: Vec<Manner>) {
    let expected = rude.len() as u64;
    let manners = rude.into_iter().chain([Manner::Good(Vec::new())]).collect();
    let server = Server::start(keys(1), manners).await;
    let config = FleetConfig { rate_hz: 100.0, ..fleet(1, server.address) };
    let running = Running::start(&config);
    running.until("it is acknowledged", |report| report.batches.acknowledged.batches >= 3).await;
    let (report, observer) = running.stopped().await;
    assert_eq!(report.reconnects + report.connect_errors, expected);
    assert_eq!((report.dropped, report.batches.held()), (0, BatchCount::default()));
    let journal = server.journal.lock().unwrap();
    assert_eq!(journal.complaints, [""; 0]);
    assert_eq!(check_values(&journal, &config, &observer, 0), report.measured);
}

#[tokio::test]
async fn what_is_no_tls_ends_the_try() {
    let hello_of_tls_1_2 = [0x16, 3, 3, 0, 4, 2, 0, 0, 0].to_vec();
    let too_long_record = [&[0x16, 3, 3, 0x40, 0][..], &[7; 0x4000]].concat();
    comes_again_after(vec![
        Manner::NoTls(Vec::new()),
        Manner::NoTls(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Manner::NoTls(hello_of_tls_1_2),
        Manner::NoTls(too_long_record),
        Manner::NoTls((0..=255).collect()),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_message_of_a_server_ends_the_session() {
    let hello = Hello { boot: 1, profile: "pico", firmware: "1", time_ms: 0, oldest: None, past: false };
    let welcome = |sequence| written(|out| encode_welcome(&Welcome { utc_ms: 7, sequence }, out));
    let ack = written(|out| encode_ack(1_000_000, out));
    let too_long = [&[0x82, 0x18, 99, 0xa1, 0, 0x59, 3, 0][..], &[0; 768]].concat();
    comes_again_after(vec![
        Manner::Rude(b"no CBOR at all".to_vec()),
        Manner::Rude(written(|out| encode_hello(&hello, out))),
        Manner::Rude(ack.clone()),
        Manner::Rude(welcome(Some(1_000_000))),
        Manner::Rude([welcome(None), ack].concat()),
        Manner::Rude([welcome(None), welcome(None)].concat()),
        Manner::Rude(too_long),
    ])
    .await;
}
