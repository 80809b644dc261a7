//! A fleet on real sockets, against a small server that decodes what arrives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vitalwire_protocol::{CbcSecret, Channel, FrameDecoder, Sample, Variant};
use vitalwire_simulator::fleet::{
    FleetConfig, FleetDevice, FleetError, FleetObserver, FleetReport, Signal, run_fleet,
};
use vitalwire_simulator::patient::{Patient, PatientConfig, Waveform};
use vitalwire_simulator::recording::{Recording, RecordingOptions};
use vitalwire_testing::{PATIENCE, free_port};

fn secret() -> CbcSecret {
    CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA")
}

fn fleet(devices: usize, variant: Variant, target: SocketAddr) -> FleetConfig {
    let device = |n| FleetDevice::frames(format!("dev_{n}"), secret(), variant);
    FleetConfig::new((0..devices).map(device).collect(), target.to_string(), 1)
}

/// What one connection brought.
#[derive(Debug, Default)]
struct Received {
    samples: Vec<[f64; 7]>,
    /// Ended by the device's close between two frames.
    ended_well: bool,
}

/// Reads one connection to its end, or until `samples_max` have arrived; then it closes the socket.
async fn receive(
    mut stream: TcpStream,
    variant: Variant,
    samples_max: usize,
    seen: mpsc::UnboundedSender<()>,
) -> Received {
    let mut decoder = FrameDecoder::new(&secret(), variant);
    let mut received = Received::default();
    let mut buffer = [0; 4_096];
    while received.samples.len() < samples_max {
        let Ok(length) = stream.read(&mut buffer).await else { return received };
        if length == 0 {
            received.ended_well = !decoder.mid_frame();
            return received;
        }
        let mut input = &buffer[..length];
        while let Some(json) = decoder.next(&mut input).unwrap() {
            let sample = Sample::parse(json).unwrap();
            received.samples.push(Channel::ALL.map(|channel| sample.value(channel).number));
            // The receiver is gone when the test no longer counts.
            let _ = seen.send(());
        }
    }
    received
}

/// Accepts `connections` connections and reads them all to the end.
fn serve(
    listener: TcpListener,
    connections: usize,
    variant: Variant,
) -> (JoinHandle<Vec<Received>>, mpsc::UnboundedReceiver<()>) {
    let (seen, count) = mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.unwrap();
            tasks.push(tokio::spawn(receive(stream, variant, usize::MAX, seen.clone())));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    });
    (server, count)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Its connections take in little before they must be read.
fn small_listener() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn run(config: FleetConfig) -> (FleetReport, Arc<FleetObserver>) {
    let observer = FleetObserver::new(&config.devices);
    let report = run_fleet(config, Arc::clone(&observer), CancellationToken::new());
    let report = tokio::time::timeout(PATIENCE, report).await.expect("the fleet ends").unwrap();
    (report, observer)
}

#[tokio::test]
async fn every_sample_arrives_whole_and_nothing_is_dropped() {
    for variant in Variant::ALL {
        let (listener, address) = listener().await;
        let (server, _) = serve(listener, 20, variant);
        let config = FleetConfig {
            rate_hz: 100.0,
            // 50 samples a device: less than the backlog, so however slow the machine, none may be dropped.
            duration: Some(Duration::from_millis(500)),
            ..fleet(20, variant, address)
        };
        let (report, observer) = run(config).await;
        let expected = FleetReport { devices: 20, connected: 20, sent: 1_000, ..FleetReport::default() };
        assert_eq!(report, expected, "{variant}");
        let received = server.await.unwrap();
        assert!(received.iter().all(|r| r.ended_well && r.samples.len() == 50), "{variant}");
        assert!((0..20).all(|place| observer.sent_at(place, 1, 50).is_some()));
        assert!((0..20).all(|place| observer.sent_at(place, 1, 51).is_none()));
    }
}

#[tokio::test]
async fn values_follow_the_patient() {
    let (listener, address) = listener().await;
    let (server, _) = serve(listener, 1, Variant::Chained);
    let patient_config = PatientConfig { waveform: Waveform::Ecg, ..PatientConfig::default() };
    let config = FleetConfig {
        rate_hz: 250.0,
        duration: Some(Duration::from_millis(240)),
        signal: Signal::Patient(patient_config.clone()),
        ..fleet(1, Variant::Chained, address)
    };
    let patient = Patient::new(config.device_seed(0), &patient_config);
    let (_, observer) = run(config).await;
    let received = server.await.unwrap();
    assert_eq!(received[0].samples.len(), 60);
    for (n, sample) in (0..60).zip(&received[0].samples) {
        let expected = patient.vitals(f64::from(n) / 250.0);
        assert!(sample.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 0.000_5 + 1e-9), "sample {n}");
    }
    let seen = observer.seen(0).unwrap();
    assert!(seen.values.unwrap() == patient.vitals(59.0 / 250.0));
    assert!(seen.heart_rate_per_min.is_some() && !seen.connected);
}

#[tokio::test]
async fn recording_is_played_beside_modelled_channels() {
    let (listener, address) = listener().await;
    let (server, _) = serve(listener, 2, Variant::Blockwise);
    let recording = Recording::from_csv(&b"1.0\n2.0\n3.0\n"[..], &RecordingOptions::at_rate(100.0)).unwrap();
    let config = FleetConfig {
        rate_hz: 200.0,
        duration: Some(Duration::from_millis(60)),
        signal: Signal::Recording(Arc::new(recording)),
        ..fleet(2, Variant::Blockwise, address)
    };
    run(config).await;
    for received in server.await.unwrap() {
        let pulse: Vec<f64> = received.samples.iter().map(|s| s[Channel::PulseSig.index()]).collect();
        assert_eq!(pulse, [1.0, 1.5, 2.0, 2.5, 3.0, 2.0, 1.0, 1.5, 2.0, 2.5, 3.0, 2.0]);
        assert!(received.samples.iter().all(|s| (35.0..39.0).contains(&s[Channel::Temp.index()])));
    }
}

#[tokio::test]
async fn stopping_loses_nothing_and_ends_between_frames() {
    for variant in Variant::ALL {
        let (listener, address) = listener().await;
        let (server, mut seen) = serve(listener, 50, variant);
        // So slow that the backlog of a device, 64 samples, is more than ten seconds: the machine may stand still that long.
        let config = FleetConfig { rate_hz: 5.0, ..fleet(50, variant, address) };
        let observer = FleetObserver::with_log_len(&config.devices, 0);
        let stop = CancellationToken::new();
        let running = tokio::spawn(run_fleet(config, observer, stop.clone()));
        for _ in 0..500 {
            seen.recv().await.unwrap();
        }
        stop.cancel();
        let report = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
        let received = server.await.unwrap();
        assert!(received.iter().all(|r| r.ended_well));
        assert_eq!(received.iter().map(|r| r.samples.len() as u64).sum::<u64>(), report.sent);
        assert_eq!(report.dropped, 0);
    }
}

#[tokio::test]
async fn connects_again_and_goes_on_when_the_gateway_closes() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (seen, _count) = mpsc::unbounded_channel();
        let mut all = Vec::new();
        for samples_max in [5, 5, usize::MAX] {
            let (stream, _) = listener.accept().await.unwrap();
            all.push(receive(stream, Variant::Chained, samples_max, seen.clone()).await);
        }
        all
    });
    let config = FleetConfig {
        rate_hz: 50.0,
        duration: Some(Duration::from_secs(1)),
        ..fleet(1, Variant::Chained, address)
    };
    let (report, observer) = run(config).await;
    let received = server.await.unwrap();
    assert_eq!((report.reconnects, report.connect_errors), (2, 0));
    assert_eq!(report.sent + report.dropped, 50);
    assert_eq!(received[2].samples.len() as u64, observer.connections(0)[2].sent);
    assert!(received[2].ended_well);
    assert!(observer.sent_at(0, 2, 5).unwrap() < observer.sent_at(0, 3, 1).unwrap());
    assert_eq!(observer.latest_sent_at(0, 1), observer.sent_at(0, 3, 1));
}

#[tokio::test]
async fn close_by_the_gateway_is_noticed_though_no_sample_is_due() {
    let (listener, address) = listener().await;
    let config = FleetConfig { rate_hz: 0.01, ..fleet(1, Variant::Chained, address) };
    let observer = FleetObserver::new(&config.devices);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_fleet(config, Arc::clone(&observer), stop.clone()));
    let accepted = async || tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0;
    // The only frame for the next 100 s comes on the first connection.
    assert!(accepted().await.read(&mut [0; 1_024]).await.unwrap() > 0);
    drop(accepted().await);
    let _third = accepted().await;
    while observer.report().reconnects < 2 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let report = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!((report.sent, report.dropped), (1, 0));
}

/// Stopped while a frame is half written to a gateway that resets the connection: counted, never a panic.
#[tokio::test]
async fn reset_while_stopping_costs_counted_samples_only() {
    let (listener, address) = small_listener();
    let config = FleetConfig { rate_hz: 10_000.0, ..fleet(1, Variant::Chained, address) };
    let observer = FleetObserver::new(&config.devices);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_fleet(config, Arc::clone(&observer), stop.clone()));
    let (stream, _) = listener.accept().await.unwrap();
    // The socket is full when no more frames go out.
    let mut sent = 0;
    while sent == 0 || observer.report().sent != sent {
        sent = observer.report().sent;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.cancel();
    tokio::task::yield_now().await;
    // Closed with much unread: the system resets it.
    drop(stream);
    let report = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.reconnects, 0);
}

#[tokio::test]
async fn backs_off_while_refused_and_counts_every_sample() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = FleetConfig {
        rate_hz: 200.0,
        duration: Some(Duration::from_millis(500)),
        ..fleet(3, Variant::Chained, address)
    };
    let (report, observer) = run(config).await;
    assert_eq!((report.connected, report.sent, report.dropped), (0, 0, 300));
    for place in 0..3 {
        let seen = observer.seen(place).unwrap();
        // 2.5 s of waits that double from 50 ms: seven tries on average, jitter included; fewer where the machine is slow.
        assert!((2..=20).contains(&seen.connect_errors), "{} tries", seen.connect_errors);
        assert!(seen.connect_error.unwrap().contains("refused"));
    }
}

#[tokio::test]
async fn gateway_that_comes_late_gets_the_backlog() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = FleetConfig {
        rate_hz: 30.0,
        duration: Some(Duration::from_secs(3)),
        ..fleet(1, Variant::Blockwise, address)
    };
    let observer = FleetObserver::new(&config.devices);
    let running = tokio::spawn(run_fleet(config, Arc::clone(&observer), CancellationToken::new()));
    while observer.report().connect_errors < 3 {
        tokio::task::yield_now().await;
    }
    let (server, _) = serve(TcpListener::bind(address).await.unwrap(), 1, Variant::Blockwise);
    let report = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.sent + report.dropped, 90);
    assert!(report.sent >= 64, "{report}");
    assert_eq!(server.await.unwrap()[0].samples.len() as u64, report.sent);
}

#[tokio::test]
async fn gateway_that_does_not_read_costs_counted_samples_but_no_frame() {
    let (listener, address) = small_listener();
    let config = FleetConfig {
        rate_hz: 10_000.0,
        duration: Some(Duration::from_secs(3)),
        ..fleet(1, Variant::Chained, address)
    };
    let observer = FleetObserver::new(&config.devices);
    let running = tokio::spawn(run_fleet(config, Arc::clone(&observer), CancellationToken::new()));
    let (stream, _) = listener.accept().await.unwrap();
    // Reads only when the device has begun to drop.
    while observer.report().dropped == 0 {
        assert!(!running.is_finished(), "socket buffers held everything");
        tokio::task::yield_now().await;
    }
    let (seen, _count) = mpsc::unbounded_channel();
    let received = receive(stream, Variant::Chained, usize::MAX, seen).await;
    let report = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(report.sent + report.dropped, 30_000);
    // What counts as sent has arrived. The last frame may be cut: a device gives up after 2 s on a peer this slow.
    assert_eq!(received.samples.len() as u64, report.sent);
}

#[tokio::test]
async fn fleet_that_cannot_run_is_refused_with_a_reason() {
    let (_listener, address) = listener().await;
    let start = |config: FleetConfig, observer| run_fleet(config, observer, CancellationToken::new());
    for rate_hz in [0.0, -1.0, f64::NAN, f64::INFINITY, 10_001.0] {
        let config = FleetConfig { rate_hz, ..fleet(1, Variant::Chained, address) };
        let observer = FleetObserver::new(&config.devices);
        assert!(matches!(start(config, observer).await, Err(FleetError::Rate { .. })), "{rate_hz}");
    }
    let endless = FleetConfig { duration: Some(Duration::MAX), ..fleet(1, Variant::Chained, address) };
    let observer = FleetObserver::new(&endless.devices);
    assert!(matches!(start(endless, observer).await, Err(FleetError::Duration { .. })));
    let other = FleetObserver::new(&fleet(2, Variant::Chained, address).devices);
    let refused = start(fleet(1, Variant::Chained, address), other).await.unwrap_err();
    assert!(matches!(refused, FleetError::OtherObserver { observed: 2, devices: 1 }));
    let nowhere = FleetConfig { target: "no port here".to_owned(), ..fleet(1, Variant::Chained, address) };
    let observer = FleetObserver::new(&nowhere.devices);
    let refused = start(nowhere, observer).await.unwrap_err().to_string();
    assert!(refused.starts_with("cannot find the gateway `no port here` (want host:port): "), "{refused}");
}
