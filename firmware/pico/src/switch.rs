//! The slide switch between Configuration Mode and Data Collector Mode: its middle contact is on 3.3 V, its ends on GP3 and GP4.

use embassy_futures::select::select;
use embassy_rp::Peri;
use embassy_rp::gpio::{Input, Pull};
use embassy_rp::peripherals::{PIN_3, PIN_4};
use embassy_time::{Duration, Timer, block_for};
use vitalwire_device::mode;

/// A contact bounces for some milliseconds; a hand needs longer.
const BOUNCE_MS_MAX: u64 = 30;
/// The pull-downs need so long to empty a line of a metre.
const SETTLE_US: u64 = 100;

pub(crate) struct Switch {
    configuration: Input<'static>,
    collector: Input<'static>,
}

impl Switch {
    /// The switch at these pins.
    pub(crate) fn new(configuration: Peri<'static, PIN_3>, collector: Peri<'static, PIN_4>) -> Self {
        let configuration = Input::new(configuration, Pull::Down);
        let collector = Input::new(collector, Pull::Down);
        block_for(Duration::from_micros(SETTLE_US));
        Self { configuration, collector }
    }

    /// Where it is now.
    pub(crate) fn position(&self) -> mode::Switch {
        mode::Switch::from_pins(self.configuration.is_high(), self.collector.is_high())
    }

    /// Ready when the switch has come to rest at an end other than `from`.
    pub(crate) async fn moved(&mut self, from: mode::Switch) {
        loop {
            let now = self.position();
            if now == from || now == mode::Switch::Between {
                select(self.configuration.wait_for_any_edge(), self.collector.wait_for_any_edge()).await;
            } else {
                Timer::after_millis(BOUNCE_MS_MAX).await;
                if self.position() == now {
                    return;
                }
            }
        }
    }
}
