//! The LED at GP2. When to light it the device crate says.

use embassy_rp::gpio::Output;
use embassy_time::{Duration, Instant, Ticker};
use vitalwire_device::led;

use crate::life;
use crate::shared::STATUS;

/// Shows the device's status for ever, and by it that the thread-mode executor runs.
pub(crate) async fn show(mut led: Output<'static>) -> ! {
    let mut ticks = Ticker::every(Duration::from_millis(led::TICK_MS));
    loop {
        let is_lit = led::is_lit(STATUS.activity(), STATUS.trouble(), Instant::now().as_millis());
        led.set_level(is_lit.into());
        life::THREAD.show();
        ticks.next().await;
    }
}
