//! What the tests of several crates share: waiting for a condition, programs and brokers that end with the test, seeds,
//! a device's parts in memory, a client of the secure link, and a whole server.
//!
//! A dev-dependency only: no program holds it (`tests/dev_only.rs`). A test that needs more than the first four
//! modules names the feature: `device`, `link` or `clinic`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "for tests alone: a panic is how a test fails"
)]

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
pub mod rabbitmq;
pub mod seed;
#[cfg(feature = "device")]
pub mod setup;

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Every test user's.
pub const PASSWORD: &str = "correct horse battery";
/// Beyond this a test has hung. Generous: test machines are shared, and no test waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);
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

/// A port of 127.0.0.1 that no one uses now. For programs that cannot be told to take any: others take port 0.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
