//! The device's clock as the rest of the crate sees it: microseconds since the start, and waiting. The firmware's is a
//! hardware timer, the simulator's the runtime's clock.

use core::future::Future;
use core::pin::pin;

use embassy_futures::select::{Either, select};

/// A clock that never goes back.
pub trait Clock: Clone {
    /// Microseconds since the device started, or since any moment before.
    fn now_us(&self) -> u64;

    /// Ready when the clock shows `at_us`; at once if that is past.
    fn wait_until_us(&self, at_us: u64) -> impl Future<Output = ()>;

    /// Milliseconds since the same moment.
    fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    /// Ready in so many milliseconds.
    fn wait_ms(&self, ms: u64) -> impl Future<Output = ()> {
        self.wait_until_us(self.now_us().saturating_add(ms.saturating_mul(1_000)))
    }
}

/// Nothing came within the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing within {ms_max} ms")]
pub struct Elapsed {
    /// The time, in milliseconds.
    pub ms_max: u64,
}

/// What `future` gives, if it is ready within `ms_max` milliseconds; else it is dropped.
///
/// # Errors
/// It was not.
pub async fn within<C: Clock, F: Future>(clock: &C, ms_max: u64, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), pin!(clock.wait_ms(ms_max))).await {
        Either::First(output) => Ok(output),
        Either::Second(()) => Err(Elapsed { ms_max }),
    }
}
