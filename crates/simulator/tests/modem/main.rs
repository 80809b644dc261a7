//! The device's modem driver against the modem in software, over a line in memory and real sockets.
//!
//! Nothing here waits for time to pass: where the driver waits for its time to be over, the test moves its clock.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use vitalwire_device::clock::Clock;
use vitalwire_device::modem::{Modem, State, split};
use vitalwire_simulator::modem::{Control, Firmware, LineWriter, Network, Surroundings, line, modem};

mod faults;
mod lost_bytes;
mod network;
mod servers;
mod sockets;

/// How long a test may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &[u8] = b"Ward 3";
const PASSWORD: &str = "correct, horse \\ \"battery\"";

type Driver<'t, 's> = Modem<'s, &'t mut LineWriter, JumpingClock>;

/// The real clock, which a test can move forward.
#[derive(Clone)]
struct JumpingClock {
    start: Instant,
    jumped_us: Rc<Cell<u64>>,
    jumps: Rc<Notify>,
}

impl JumpingClock {
    fn new() -> Self {
        Self { start: Instant::now(), jumped_us: Rc::default(), jumps: Rc::default() }
    }

    fn jump_ms(&self, ms: u64) {
        self.jumped_us.set(self.jumped_us.get() + ms * 1_000);
        self.jumps.notify_waiters();
    }
}

impl Clock for JumpingClock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap() + self.jumped_us.get()
    }

    async fn wait_until_us(&self, at_us: u64) {
        loop {
            let jump = self.jumps.notified();
            let left_us = at_us.saturating_sub(self.now_us());
            if left_us == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_micros(left_us)) => {}
                () = jump => {}
            }
        }
    }
}

/// What a test has besides the driver.
struct Bench {
    control: Control,
    clock: JumpingClock,
}

fn network() -> Network {
    Network { name: NAME.to_vec(), password: PASSWORD.to_owned(), rssi_dbm: -52 }
}

fn surroundings() -> Surroundings {
    Surroundings { networks: vec![network()], ..Surroundings::default() }
}

/// Runs a test with a modem that has not been started.
async fn with_modem(surroundings: Surroundings, test: impl AsyncFnOnce(&Driver<'_, '_>, &Bench)) {
    let (modem, control) = modem(surroundings);
    let (mut reader, mut writer, end) = line();
    let runs = tokio::spawn(modem.run(end));
    let bench = Bench { control, clock: JumpingClock::new() };
    let mut state = State::new();
    let (mut receiver, driver) = split(&mut state, &mut reader, &mut writer, bench.clock.clone());
    tokio::select! {
        error = receiver.run() => panic!("the line failed: {error:?}"),
        () = test(&driver, &bench) => {}
        () = tokio::time::sleep(PATIENCE) => panic!("nothing happened for {PATIENCE:?}"),
    }
    drop((receiver, driver));
    drop((reader, writer));
    runs.await.unwrap().unwrap();
}

/// Runs a test with a modem on its network.
async fn on_network(surroundings: Surroundings, test: impl AsyncFnOnce(&Driver<'_, '_>, &Bench)) {
    with_modem(surroundings, async |driver, bench| {
        start_and_join(driver).await;
        test(driver, bench).await;
    })
    .await;
}

async fn start_and_join(driver: &Driver<'_, '_>) {
    driver.start().await.unwrap();
    driver.join(NAME, PASSWORD).await.unwrap();
    assert!(driver.is_joined());
}

/// What `work` gives; while it works, `other` runs.
async fn beside<T>(work: impl Future<Output = T>, other: impl Future<Output = ()>) -> T {
    tokio::join!(work, other).0
}

/// A server that sends back what it gets, until the other side closes; then it closes.
async fn echo_server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                // The other side may go at any time.
                let _ended = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

fn both_firmwares() -> [Surroundings; 2] {
    [Firmware::At1, Firmware::At2].map(|firmware| Surroundings { firmware, ..surroundings() })
}
