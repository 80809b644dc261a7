//! The device crate's clock over the RP2040's timer, which counts microseconds from the start. A task that uses it shows by
//! that it is alive.

use embassy_time::{Instant, Timer};
use vitalwire_device::clock;

use crate::life::Life;

/// The timer, as one part of the device uses it.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    life: &'static Life,
}

impl Clock {
    /// The clock of the part whose signs of life these are.
    pub(crate) fn of(life: &'static Life) -> Self {
        Self { life }
    }
}

impl clock::Clock for Clock {
    fn now_us(&self) -> u64 {
        let now_us = Instant::now().as_micros();
        self.life.show_at(now_us);
        now_us
    }

    async fn wait_until_us(&self, at_us: u64) {
        Timer::at(Instant::from_micros(at_us)).await;
        self.life.show();
    }
}
