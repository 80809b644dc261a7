//! What the tests of several crates share: waiting for a condition, programs and brokers that end with the test, seeds,
//! a device's parts in memory, a client of the secure link, and a whole server.
//!
//! A dev-dependency only: no program holds it (`tests/dev_only.rs`). A test that needs more than the first four
//! modules names the feature: `device`, `link`, `provider` or `clinic`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "for tests alone: a panic is how a test fails"
)]

#[cfg(feature = "link")]
pub mod browser_tls;
#[cfg(feature = "clinic")]
pub mod clinic;
#[cfg(feature = "device")]
pub mod device;
#[cfg(feature = "device")]
pub mod flash;
pub mod haproxy;
#[cfg(feature = "link")]
pub mod link;
pub mod mosquitto;
pub mod paper;
pub mod program;
#[cfg(feature = "provider")]
pub mod provider;
pub mod rabbitmq;
pub mod seed;
#[cfg(feature = "device")]
pub mod setup;

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Every test user's.
pub const PASSWORD: &str = "correct horse battery";
/// Beyond this a test has hung. Generous: test machines are shared, and no test waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until the condition holds. In a test without a runtime: [`program::until`].
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "did not come true: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Rounds of what has to be quick. A busy machine disturbs a round now and then; what is slow shows in each.
const ROUNDS: usize = 5;

/// Passes at the first round that takes no longer than this. In a test without a runtime: [`program::quick`].
pub async fn quick(max: Duration, mut round: impl AsyncFnMut() -> Duration) {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let time = round().await;
        if time <= max {
            return;
        }
        took.push(time);
    }
    panic!("longer than {max:?} in each round: {took:?}");
}

/// A port of 127.0.0.1 that no one uses, until this process ends. For programs that cannot be told to take any, and for what comes
/// back at the same port: others take port 0.
///
/// It is none that the system gives to connections (Linux begins at 32768), so that no connection of another test takes it before the
/// program does, or while that is away; and the process claims it, so that no other test is told the same one.
pub fn free_port() -> u16 {
    static CLAIMED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let claim = |port: u16| {
        let name = SocketAddr::from_abstract_name(format!("vitalwire-test-port-{port}")).unwrap();
        UnixListener::bind_addr(&name).ok().filter(|_| TcpListener::bind(("127.0.0.1", port)).is_ok())
    };
    let mut ports = std::iter::repeat_with(|| rand::random_range(20_000..32_000));
    let (port, claimed) = ports.find_map(|port| Some((port, claim(port)?))).expect("there is always another");
    CLAIMED.lock().unwrap().push(claimed);
    port
}
