//! What is measured arrives: once, in order, with its values and times, however often the network breaks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vitalwire_protocol::batch::{encode_configure, event_code};
use vitalwire_simulator::fleet::{
    BatchCount, FlashChoice, FleetConfig, FleetError, FleetObserver, Link, LinkIdError, LinkOptions,
    run_fleet,
};

use crate::proxy::Proxy;
use crate::server::{Manner, Server, written};
use crate::{Running, check_values, fleet, key, keys};

const GOOD: fn() -> Vec<Manner> = || vec![Manner::Good(Vec::new())];

#[tokio::test]
async fn what_is_measured_arrives_as_it_was_and_is_acknowledged() {
    let server = Server::start(keys(8), GOOD()).await;
    let config =
        FleetConfig { rate_hz: 50.0, duration: Some(Duration::from_secs(2)), ..fleet(8, server.address) };
    let (report, observer) = Running::start(&config).ended().await;
    assert_eq!((report.devices, report.connected, report.reconnects, report.connect_errors), (8, 8, 0, 0));
    assert_eq!((report.measured, report.sent, report.dropped), (800, 800, 0));
    let all = BatchCount { batches: report.batches.made.batches, samples: 800 };
    assert_eq!((report.batches.made, report.batches.acknowledged), (all, all));
    assert_eq!(report.batches.held(), BatchCount::default());
    server.check().await;
    let journal = server.journal.lock().unwrap();
    assert_eq!(journal.complaints, [""; 0]);
    assert!(journal.sessions.iter().all(|session| session == "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256"));
    assert!(
        journal.hellos.iter().all(|hello| hello.profile == "pico" && !hello.past && hello.oldest == Some(1))
    );
    assert_eq!((journal.batches(), journal.resent), (all.batches, 0));
    for place in 0..8 {
        assert_eq!(check_values(&journal, &config, &observer, place), 100);
        check_times(&observer, place.into());
    }
}

/// The observer knows when each sample was measured, and what became of each batch.
fn check_times(observer: &FleetObserver, place: usize) {
    let clock = observer.clock(place).unwrap();
    for n in 1..=100 {
        let since = observer.measured_at(place, n).unwrap() - clock.origin;
        assert_eq!((since.as_secs_f64() / 0.02).round(), (n - 1) as f64);
    }
    assert_eq!(observer.measured_at(place, 101), None);
    let batches: Vec<_> = (1..).map_while(|sequence| observer.batch(place, sequence)).collect();
    assert_eq!(batches.iter().map(|batch| batch.samples).sum::<u64>(), 100);
    for batch in batches {
        let (sent, acknowledged) = (batch.sent.unwrap(), batch.acknowledged.unwrap());
        assert!(
            batch.first_measured <= batch.last_measured
                && batch.last_measured <= sent
                && sent <= acknowledged
        );
    }
}

#[tokio::test]
async fn the_end_of_a_fleet_is_in_order() {
    let mut server = Server::start(keys(3), GOOD()).await;
    let running = Running::start(&fleet(3, server.address));
    running.until("something is acknowledged", |report| report.batches.acknowledged.batches >= 6).await;
    let (report, _) = running.stopped().await;
    assert_eq!(report.measured, report.batches.acknowledged.samples);
    server.until("all three have closed", |journal| journal.closed_well == 3).await;
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_identity_get_nothing_and_cost_nothing() {
    let mut others = keys(2);
    others[0].1 = [99; 32];
    let mut server = Server::start(others[..1].to_vec(), GOOD()).await;
    let config = FleetConfig { duration: Some(Duration::from_secs(1)), ..fleet(2, server.address) };
    let mut config = FleetConfig { rate_hz: 50.0, ..config };
    config.link.finish_ms_max = 200;
    let (report, observer) = Running::start(&config).ended().await;
    assert_eq!((report.connected, report.measured, report.sent, report.dropped), (0, 100, 0, 0));
    assert_eq!(report.batches.held().samples, 100);
    for place in 0..2 {
        let error = observer.seen(place).unwrap().connect_error.unwrap();
        assert!(error.contains("does the server know this link id"), "{error}");
    }
    server.until("the server refused", |journal| journal.failed_handshakes >= 2).await;
    assert_eq!(server.journal.lock().unwrap().hellos, []);
}

#[tokio::test]
async fn connections_cut_at_random_bytes_two_hundred_times_lose_nothing() {
    const CUTS: u64 = 200;
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // From within the handshake to some batches later.
    let budgets = (0..CUTS).map(|_| rng.random_range(1..4_000)).collect();
    let server = Server::start(keys(4), GOOD()).await;
    let proxy = Proxy::start(server.address, budgets).await;
    let mut config = FleetConfig { rate_hz: 250.0, ..fleet(4, proxy.address) };
    config.link.batch_ms = 40;
    // A little memory, so that flash has its part.
    config.link.memory_len = 2_048;
    let running = Running::start(&config);
    running.until("all connections are cut", |_| proxy.cuts.load(Ordering::Relaxed) >= CUTS).await;
    let (report, observer) = running.stopped().await;
    server.check().await;
    let journal = server.journal.lock().unwrap();
    assert_eq!(journal.complaints, [""; 0]);
    assert!(report.reconnects + report.connect_errors >= CUTS - 4, "{report}");
    assert_eq!((report.dropped, report.batches.held()), (0, BatchCount::default()));
    assert_eq!(report.batches.acknowledged, report.batches.made);
    assert_eq!(journal.batches(), report.batches.made.batches);
    assert!(journal.boots.values().all(|boot| boot.given_up.is_empty()));
    let samples: u64 = (0..4).map(|place| check_values(&journal, &config, &observer, place)).sum();
    assert_eq!(samples, report.measured);
}

#[tokio::test]
async fn a_server_that_never_acknowledges_costs_the_oldest_and_is_told() {
    let mut server = Server::start(keys(1), vec![Manner::Silent]).await;
    let mut config = FleetConfig { rate_hz: 500.0, ..fleet(1, server.address) };
    config.link = LinkOptions {
        batch_ms: 20,
        memory_len: 4_096,
        flash: FlashChoice::None,
        finish_ms_max: 100,
        ..config.link
    };
    let running = Running::start(&config);
    server.until("the device told what is gone", |journal| journal.told > 20).await;
    let (report, observer) = running.stopped().await;
    let held = report.batches.held();
    assert!((1..=60).contains(&held.batches), "{report}");
    assert_eq!(report.batches.acknowledged, BatchCount::default());
    assert_eq!(report.measured, held.samples + report.dropped);
    let journal = server.journal.lock().unwrap();
    assert_eq!(journal.events.first(), Some(&event_code::OUTBOX_FULL));
    assert_eq!(journal.complaints, [""; 0]);
    let seen = observer.seen(0).unwrap();
    assert_eq!((seen.batches.dropped.samples, seen.connections), (report.dropped, 1));
}

#[tokio::test]
async fn a_server_configures_rates_and_batches() {
    let more = written(|out| encode_configure(Some(50), &[(2, 4_000), (0, 25_000)], out));
    let mut server = Server::start(keys(1), vec![Manner::Good(more)]).await;
    let running = Running::start(&FleetConfig { rate_hz: 100.0, ..fleet(1, server.address) });
    server.until("batches as configured", |journal| journal.batches() > 20).await;
    running.stopped().await;
    let journal = server.journal.lock().unwrap();
    let boot = journal.boots.values().next().unwrap();
    let intervals: Vec<u32> = boot.batches[&15].iter().map(|channel| channel.interval_us).collect();
    assert_eq!(intervals, [25_000, 10_000, 4_000, 10_000, 10_000, 10_000, 10_000]);
    assert!(boot.batches[&15].iter().all(|c| c.values.len() as u64 * u64::from(c.interval_us) <= 54_000));
}

#[tokio::test]
async fn more_than_a_record_buffer_from_the_server_comes_through() {
    // 40 messages of many intervals in one write: 7 KiB, which the server must put into records of 512 bytes.
    let intervals: Vec<(u8, u32)> = (0..32).map(|index| (index, 10_000)).collect();
    let more = written(|out| encode_configure(Some(50), &intervals, out)).repeat(40);
    assert!(more.len() > 5_000);
    let server = Server::start(keys(1), vec![Manner::Good(more)]).await;
    let config =
        FleetConfig { rate_hz: 100.0, duration: Some(Duration::from_secs(1)), ..fleet(1, server.address) };
    let (report, _) = Running::start(&config).ended().await;
    assert_eq!((report.reconnects, report.batches.acknowledged.samples), (0, 100));
}

#[tokio::test]
async fn what_one_run_could_not_deliver_the_next_delivers_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(keys(1), GOOD()).await;
    let mut config =
        FleetConfig { rate_hz: 50.0, duration: Some(Duration::from_secs(1)), ..fleet(1, server.address) };
    config.link.flash = FlashChoice::Folder { path: folder.path().to_owned(), len: 65_536 };
    let mut offline = config.clone();
    offline.target = "127.0.0.1:1".to_owned();
    offline.link.finish_ms_max = 0;
    let (first, observer) = Running::start(&offline).ended().await;
    assert_eq!((first.connected, first.batches.held().samples), (0, 50));
    let past = observer.clock(0).unwrap().boot;

    let (second, observer) = Running::start(&config).ended().await;
    assert_eq!((second.batches.acknowledged.samples, second.batches.held().samples), (50, 0));
    let journal = server.journal.lock().unwrap();
    let present = observer.clock(0).unwrap().boot;
    let hellos: Vec<(u64, bool)> = journal.hellos.iter().map(|hello| (hello.boot, hello.past)).collect();
    assert_eq!(hellos, [(past, true), (present, false)]);
    let samples = |boot: u64| -> usize {
        let batches = journal.boots[&(key(0).0, boot)].batches.values();
        batches.map(|channels| channels[0].values.len()).sum()
    };
    assert_eq!((samples(past), samples(present)), (50, 50));
}

#[tokio::test]
async fn a_fleet_that_cannot_run_is_refused_with_a_reason() {
    let server = Server::start(keys(1), GOOD()).await;
    let refused = async |config: FleetConfig| {
        let observer = FleetObserver::new(&config.devices);
        run_fleet(config, observer, tokio_util::sync::CancellationToken::new()).await.unwrap_err()
    };
    let fits = fleet(1, server.address);
    for rate_hz in [501.0, 0.002_f64.powi(2)] {
        let error = refused(FleetConfig { rate_hz, ..fits.clone() }).await;
        assert!(matches!(error, FleetError::LinkRate { .. } | FleetError::Rate { .. }), "{error}");
    }
    let mut small = fits.clone();
    small.link.memory_len = 64;
    assert!(matches!(refused(small).await, FleetError::Link { .. }));
    let mut nowhere = fits.clone();
    nowhere.link.flash = FlashChoice::Folder { path: "/nowhere/at/all".into(), len: 65_536 };
    assert!(refused(nowhere).await.to_string().starts_with("device dev_0: its flash: "));
    let upper = key(0).0.replace('0', "A");
    assert_eq!(Link::new(&upper, [0; 32]).unwrap_err(), LinkIdError { len: 32 });
    let link = Link::new(&key(1).0, [0x77; 32]).unwrap();
    assert!(!format!("{link:?}").contains("119"), "a key is never printed");
}
