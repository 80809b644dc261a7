//! Signs of life: the watchdog is fed only while every part of the device showed one lately. A part that hangs restarts the
//! device within its time, and what was measured and not delivered is in the flash by then, or lost with the RAM.

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_rp::watchdog::Watchdog;
use embassy_time::{Duration, Instant, Timer};
use vitalwire_device::recorder::{COLLECTOR_SILENT_MS_MAX, RECORDER_SILENT_MS_MAX};

use crate::log::log;
use crate::restart::{Restart, restart_soon};

/// The hardware's own patience: it restarts the device that long after the last feeding (8.3 s at most, RP2040 datasheet
/// §4.7.2, erratum E1). Longer than a sector's erasure and than a handshake of the thread.
const UNFED_MS_MAX: u64 = 5_000;
const FEED_EACH_MS: u64 = 500;
const STEP_BITS: u32 = 10;

/// When a part showed life last.
pub(crate) struct Life {
    name: &'static str,
    silent_ms_max: u64,
    last_steps: AtomicU32,
}

/// The thread-mode executor. A handshake of a second is the longest that may block it.
pub(crate) static THREAD: Life = Life::new("the thread-mode executor", 8_000);
/// The recorder, which measures many times a second.
pub(crate) static RECORDER: Life = Life::new("the recorder", RECORDER_SILENT_MS_MAX);
/// Those who watch sensors. No one restarts the device for them: a sensor that hangs is a gap. They have signs of their own, as
/// otherwise theirs would be taken for the recorder's.
pub(crate) static SENSORS: Life = Life::new("the watched sensors", RECORDER_SILENT_MS_MAX);
/// The collector or the configuration page. All their waits have an end; the longest is the pause between two attempts.
pub(crate) static NETWORK: Life = Life::new("the network part", COLLECTOR_SILENT_MS_MAX);

impl Life {
    const fn new(name: &'static str, silent_ms_max: u64) -> Self {
        Self { name, silent_ms_max, last_steps: AtomicU32::new(0) }
    }

    /// The part is alive.
    pub(crate) fn show(&self) {
        self.show_at(now_us());
    }

    /// The same for a caller that has just read the time, in microseconds since the start.
    pub(crate) fn show_at(&self, now_us: u64) {
        self.last_steps.store(steps(now_us), Ordering::Relaxed);
    }

    fn is_shown(&self) -> bool {
        let silent_steps = steps(now_us()).wrapping_sub(self.last_steps.load(Ordering::Relaxed));
        u64::from(silent_steps) << STEP_BITS <= self.silent_ms_max * 1_000
    }
}

/// This moment in steps of 1,024 µs: signs of life come thousands of times a second, and this processor has no division. It
/// goes round after 51 days, which only differences are taken of.
#[expect(clippy::cast_possible_truncation, reason = "goes round, as said")]
fn steps(now_us: u64) -> u32 {
    (now_us >> STEP_BITS) as u32
}

fn now_us() -> u64 {
    Instant::now().as_micros()
}

/// Feeds the watchdog for as long as these parts are alive. When one is not, `before_restart` saves what can be saved.
pub(crate) async fn feed(mut watchdog: Watchdog, parts: &[&'static Life], before_restart: impl Fn()) -> ! {
    for part in parts {
        part.show();
    }
    watchdog.start(Duration::from_millis(UNFED_MS_MAX));
    loop {
        match parts.iter().find(|part| !part.is_shown()) {
            None => watchdog.feed(Duration::from_millis(UNFED_MS_MAX)),
            Some(part) => {
                log!("{} shows no life: restarting", part.name);
                restart_soon(Restart::Silent, &before_restart).await;
            }
        }
        Timer::after_millis(FEED_EACH_MS).await;
    }
}
