//! The slide switch between Configuration Mode and Data Collector Mode: its middle contact is on 3.3 V, its ends on GP3 and GP4.

use embassy_futures::select::select;
use embassy_rp::gpio::{Input, Pull};
use embassy_rp::peripherals::{PIN_3, PIN_4};
use embassy_rp::Peri;
use embassy_time::{Timer, block_for, Duration};

/// A contact bounces for some milliseconds; a hand needs longer.
const BOUNCE_MS_MAX: u64 = 30;

/// Where the switch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// At GP3.
    Configuration,
    /// At GP4.
    Collector,
    /// On its way, or there is none.
    Between,
}

/// The switch.
pub(crate) struct Switch {
    configuration: Input<'static>,
    collector: Input<'static>,
}

impl Switch {
    /// The switch at these pins.
    pub(crate) fn new(configuration: Peri<'static, PIN_3>, collector: Peri<'static, PIN_4>) -> Self {
        let switch = Self {
            configuration: Input::new(configuration, Pull::Down),
            collector: Input::new(collector, Pull::Down),
        };
        // The pulls need a moment.
        block_for(Duration::from_millis(1));
        switch
    }

    /// Where it is now.
    pub(crate) fn position(&self) -> Position {
        match (self.configuration.is_high(), self.collector.is_high()) {
            (true, false) => Position::Configuration,
            (false, true) => Position::Collector,
            _ => Position::Between,
        }
    }

    /// Ready when the switch has come to rest at an end other than `from`.
    pub(crate) async fn moved(&mut self, from: Position) {
        loop {
            let now = self.position();
            if now == from || now == Position::Between {
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
