//! The gateway as a process of its own, killed with SIGKILL at random moments under load. `just faults` kills it a hundred
//! times: VITALWIRE_FAULTS=full. (The journal's own tests cut the power as well.)

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use vitalwire_gateway::{HistoryQuery, Limits};
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::clinic::child::{Gateway, addresses, serve_until_killed};
use vitalwire_testing::link::{Answer, Connection, LinkDevice, batch, hello, shake};
use vitalwire_testing::seed::{length, seed};

const BOOT: u64 = 7;
const DEVICES: usize = 4;

/// No test of its own, but the process that the test below starts and kills.
#[tokio::test]
#[ignore = "it serves until it is killed"]
async fn the_gateway_that_is_killed() {
    serve_until_killed().await;
}

/// A device that sends without end, connecting again and again.
struct Sender {
    device: LinkDevice,
    folder: std::path::PathBuf,
    /// The last batch that was acknowledged.
    acknowledged: Arc<AtomicU64>,
    sent: u64,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken) -> u64 {
        while !stop.is_cancelled() {
            let connected =
                tokio::time::timeout(PATIENCE, self.connect()).await.expect("the gateway serves again");
            if let Some(mut connection) = connected {
                tokio::select! {
                    () = self.send(&mut connection) => {}
                    () = stop.cancelled() => {}
                }
            } else {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        self.sent
    }

    async fn connect(&self) -> Option<Connection> {
        let (address, _) = addresses(&self.folder)?;
        let stream = TcpStream::connect(address).await.ok()?;
        shake(stream, &self.device.context()).await.ok()
    }

    /// Sends what is not held, then more, until the connection ends.
    async fn send(&mut self, connection: &mut Connection) {
        connection.try_send(&hello(BOOT)).await;
        let Answer::Welcome(held) = connection.answer().await else { return };
        let held = held.unwrap_or(0);
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        assert!(held >= acknowledged, "{acknowledged} was acknowledged, but {held} is held");
        let mut next = held + 1;
        loop {
            for sequence in next..next + 10 {
                if connection.stream.write_all(&batch(sequence)).await.is_err() {
                    return;
                }
                self.sent = self.sent.max(sequence);
            }
            next += 10;
            loop {
                let Answer::Ack(sequence) = connection.answer().await else { return };
                self.acknowledged.fetch_max(sequence, Ordering::SeqCst);
                if sequence + 20 >= next {
                    break;
                }
            }
        }
    }
}

/// How many samples of the device's temperature are in the history.
async fn samples_of(clinic: &Clinic, device: &LinkDevice) -> u64 {
    let query = HistoryQuery {
        device: device.id.parse().unwrap(),
        channel: "Temperature".into(),
        from: SystemTime::now() - Duration::from_secs(24 * 3_600),
        to: SystemTime::now() + Duration::from_secs(3_600),
    };
    clinic.server().history().buckets(&query, 1).await.unwrap().iter().map(|found| found.samples).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_and_is_there_once() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let kills = length(4, 100);
    let mut clinic = Clinic::closed();
    let folder = clinic.folder.path().to_owned();
    let mut gateway = Gateway::start(&folder);
    let (stop, mut senders) = (CancellationToken::new(), Vec::new());
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        let id = format!("d{n}");
        let link = clinic.registry.add_tls_device(&id.parse().unwrap()).unwrap();
        let device = LinkDevice { id, link, address: "127.0.0.1:0".parse().unwrap(), profile: "pico" };
        devices.push(device.clone());
        let acknowledged = Arc::new(AtomicU64::new(0));
        let sender =
            Sender { device, folder: folder.clone(), acknowledged: Arc::clone(&acknowledged), sent: 0 };
        senders.push((acknowledged, tokio::spawn(sender.run(stop.clone()))));
    }
    let total = || senders.iter().map(|(acknowledged, _)| acknowledged.load(Ordering::SeqCst)).sum::<u64>();
    for _ in 0..kills {
        // Under load: something was acknowledged since the last start. Then at a random moment.
        let before = total();
        let served = async {
            while total() == before {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, served).await.expect("the gateway serves");
        tokio::time::sleep(Duration::from_micros(random.random_range(0..200_000))).await;
        drop(gateway);
        gateway = Gateway::start(&folder);
    }
    stop.cancel();
    let mut acknowledged = Vec::new();
    for (sequence, sender) in senders {
        let sent = sender.await.expect("no device saw a loss");
        acknowledged.push((sequence.load(Ordering::SeqCst), sent));
    }
    drop(gateway);
    clinic.start(Limits::default(), None).await;
    for (device, (acknowledged, sent)) in devices.iter().zip(&acknowledged) {
        let device = LinkDevice { address: clinic.server().addresses().devices, ..device.clone() };
        let (_, held) = device.greet(BOOT).await;
        let held = held.unwrap_or(0);
        assert!(
            (*acknowledged..=*sent).contains(&held),
            "{acknowledged} acknowledged, {held} held, {sent} sent"
        );
        assert_eq!(samples_of(&clinic, &device).await, held * 20, "each batch is in the history once");
        let gaps = clinic.server().history().gaps(&device.id.parse().unwrap(), 1).await.unwrap();
        assert!(gaps.is_empty(), "nothing is missing");
    }
    let sum: u64 = acknowledged.iter().map(|(acknowledged, _)| acknowledged).sum();
    println!("{kills} kills, {sum} batches acknowledged, none lost, none twice");
}
