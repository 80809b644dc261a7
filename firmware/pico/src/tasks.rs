//! One task for each duty, and where it runs: measuring and the watchdog in an interrupt above the thread, all else in it.

use embassy_executor::{InterruptExecutor, SendSpawner};
use embassy_futures::select::select;
use embassy_rp::gpio::Output;
use embassy_rp::interrupt::{InterruptExt as _, Priority};
use embassy_rp::peripherals::{DMA_CH0, PIO0, USB};
use embassy_rp::{Peri, bind_interrupts, dma, interrupt, pio};
use embassy_time::Timer;
use static_cell::ConstStaticCell;
use vitalwire_device::identity::Identity;
use vitalwire_device::random::Drbg;
use vitalwire_device::recorder::{self, FINISH_MS_MAX, Memory, Plan};
use vitalwire_device::sensors::{watch_movement, watch_temperature};
use vitalwire_device::settings::Settings;

use crate::clock::Clock;
use crate::life::{self, NETWORK, RECORDER, SENSORS, THREAD};
use crate::log::log;
use crate::memory::Store;
use crate::movement_bus::MovementBus;
use crate::network::{Modem, Receiver};
use crate::restart::{Restart, restart_soon};
use crate::sensors::{Converter, OneWire};
use crate::shared::{READINGS, Shared};
use crate::stack::Mark;
use crate::switch::Switch;
use crate::{lamp, line, movement_bus, network, usb};

bind_interrupts!(pub(crate) struct Irqs {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>;
    I2C1_IRQ => movement_bus::Moved;
    PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
    UART0_IRQ => line::Heard;
    USBCTRL_IRQ => embassy_rp::usb::InterruptHandler<USB>;
});

/// How often someone looks how far the stack grew.
const STACK_EACH_MS: u64 = 60_000;
static ABOVE: InterruptExecutor = InterruptExecutor::new();

#[expect(unsafe_code, reason = "an executor in an interrupt is polled by its handler")]
mod handler {
    use super::{ABOVE, interrupt};

    #[interrupt]
    fn SWI_IRQ_1() {
        // SAFETY: only here is it called, and this interrupt is enabled by `ABOVE.start` alone.
        unsafe { ABOVE.on_interrupt() }
    }
}

/// Starts the executor above the thread; all interrupts of the hardware are above both.
pub(crate) fn start_above() -> SendSpawner {
    interrupt::SWI_IRQ_1.set_priority(Priority::P2);
    ABOVE.start(interrupt::SWI_IRQ_1)
}

/// The log over USB.
#[embassy_executor::task]
pub(crate) async fn usb(usb: Peri<'static, USB>) -> ! {
    usb::serve(usb, Irqs).await
}

/// The LED, and what a developer wants to know of the stack.
#[embassy_executor::task]
pub(crate) async fn lamp(led: Output<'static>) -> ! {
    match embassy_futures::join::join(lamp::show(led), watch_stack()).await {}
}

async fn watch_stack() -> ! {
    let mut mark = Mark::new();
    loop {
        Timer::after_millis(STACK_EACH_MS).await;
        if let Some(bytes) = mark.grown() {
            log!("the stack was {bytes} bytes long");
        }
    }
}

/// What the modem says.
#[embassy_executor::task]
pub(crate) async fn receive(mut receiver: Receiver) -> ! {
    loop {
        let error = receiver.run().await;
        log!("{error}");
    }
}

/// The mode switch: another position is another start.
#[embassy_executor::task]
pub(crate) async fn switch(mut switch: Switch, shared: Option<&'static Shared>) -> ! {
    let position = switch.position();
    switch.moved(position).await;
    log!("the switch was moved: restarting");
    if let Some(shared) = shared {
        select(shared.finish(), Timer::after_millis(FINISH_MS_MAX)).await;
    }
    restart_soon(Restart::Switched, || save(shared)).await
}

fn save(shared: Option<&'static Shared>) {
    if let Some(shared) = shared {
        shared.save();
    }
}

/// The watchdog. In Configuration Mode (`shared` is `None`) nothing measures, and the page waits for a person without end.
#[embassy_executor::task]
pub(crate) async fn watchdog(watchdog: embassy_rp::watchdog::Watchdog, shared: Option<&'static Shared>) -> ! {
    let parts: &[_] = if shared.is_some() { &[&THREAD, &RECORDER, &NETWORK] } else { &[&THREAD] };
    life::feed(watchdog, parts, || save(shared)).await
}

/// Measuring.
#[embassy_executor::task]
pub(crate) async fn record(adc: Converter, shared: &'static Shared, plan: Plan) -> ! {
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    let memory = MEMORY.take();
    let error = recorder::record(adc, Clock::of(&RECORDER), &READINGS, shared, plan, memory).await;
    log!("the recorder cannot work: {error}");
    // No one shows the recorder's life any more: the watchdog restarts the device.
    core::future::pending().await
}

/// The body's temperature.
#[embassy_executor::task]
pub(crate) async fn temperature(one_wire: OneWire) -> ! {
    watch_temperature(one_wire, Clock::of(&SENSORS), &READINGS).await
}

#[embassy_executor::task]
pub(crate) async fn movement(bus: MovementBus) -> ! {
    watch_movement(bus, Clock::of(&SENSORS), &READINGS).await
}

/// Data Collector Mode.
#[embassy_executor::task]
pub(crate) async fn collect(
    modem: Modem,
    settings: Settings,
    identity: &'static Identity,
    shared: &'static Shared,
    mut random: Drbg,
    mut store: Store,
) -> ! {
    network::collect(&modem, &settings, identity, shared, &mut random, &mut store).await
}

/// Configuration Mode.
#[embassy_executor::task]
pub(crate) async fn configure(
    modem: Modem,
    identity: &'static Identity,
    random: Drbg,
    mut store: Store,
) -> ! {
    network::configure(&modem, identity, random, &mut store).await;
    log!("settings were saved: restarting");
    restart_soon(Restart::Saved, || ()).await
}
