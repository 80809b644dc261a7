//! Vitalwire's firmware for the Raspberry Pi Pico: it gives the device crate its hardware and runs each duty in a task of its
//! own. What the device does is in that crate; nothing here decides it.
//!
//! Measuring runs in an interrupt above the thread, whose cryptography takes a second at times; everything that speaks to
//! the network, and the log over USB, share the thread.

#![no_std]
#![no_main]

mod clock;
mod entropy;
mod flash;
mod lamp;
mod life;
mod line;
mod log;
mod memory;
mod movement_bus;
mod network;
mod restart;
mod sensors;
mod shared;
mod stack;
mod switch;
mod tasks;
mod timer;
mod usb;

use embassy_executor::Spawner;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::watchdog::Watchdog;
use embassy_time::Timer;
use rand_core::RngCore as _;
use static_cell::StaticCell;
use vitalwire_device::flash::SETTINGS;
use vitalwire_device::identity::Identity;
use vitalwire_device::mode::{self, Mode};
use vitalwire_device::recorder::Plan;

use crate::clock::Clock;
use crate::flash::Part;
use crate::log::log;
use crate::memory::Store;
use crate::movement_bus::MovementBus;
use crate::switch::Switch;
use crate::tasks::Irqs;

/// What the configuration page and the server are told.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The LED of a device without identity flickers so fast.
const FLICKER_MS: u64 = 50;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    timer::start();
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    let before = restart::before(&mut watchdog);
    log!("Vitalwire {VERSION} starts: {before:?}");
    if let Some(place) = restart::panic_place() {
        log!("it panicked before, at {place}");
    }
    spawner.spawn(tasks::usb(p.USB).expect("spawned once"));
    let mut led = Output::new(p.PIN_2, Level::High);
    let flash = flash::share(p.FLASH);
    let Some(identity) = memory::identity(flash) else { flicker(&mut led).await };
    let identity = keep(identity);
    let Ok(mut store) = Store::new(Part::new(flash, SETTINGS)) else {
        log!("the flash map is wrong: this firmware cannot work");
        flicker(&mut led).await
    };
    let mut random = memory::random(identity, &mut store);
    let settings = store.load();
    let switch = Switch::new(p.PIN_3, p.PIN_4);
    let mode = mode::choose(switch.position(), settings.as_ref(), restart::goes_on(before, &mut watchdog));
    restart::note_mode(mode, &mut watchdog);
    if mode == Mode::Collector && memory::own_outbox(identity, &mut store, flash).is_none() {
        flicker(&mut led).await
    }
    log!("{}: {mode:?} mode, the switch is at {:?}", identity.name, switch.position());

    spawner.spawn(tasks::lamp(led).expect("spawned once"));
    let line = line::open(p.UART0, (p.PIN_0, p.PIN_1), (p.DMA_CH0, p.DMA_CH1), Irqs);
    let (receiver, modem) = network::split(line, Clock::of(&life::NETWORK));
    spawner.spawn(tasks::receive(receiver).expect("spawned once"));
    let above = tasks::start_above();
    match (mode, settings) {
        (Mode::Collector, Some(settings)) => {
            let shared = shared::mount(random.next_u64(), flash, embassy_time::Instant::now().as_millis());
            let adc = sensors::Converter::new(p.ADC, p.PIN_26, p.ADC_TEMP_SENSOR);
            let one_wire = sensors::OneWire::new(p.PIO0, p.PIN_16, Irqs);
            let movement_bus = MovementBus::new(p.I2C1, (p.PIN_14, p.PIN_15), Irqs);
            above.spawn(tasks::record(adc, shared, Plan::of(&identity.credentials)).expect("spawned once"));
            above.spawn(tasks::temperature(one_wire).expect("spawned once"));
            above.spawn(tasks::movement(movement_bus).expect("spawned once"));
            above.spawn(tasks::watchdog(watchdog, Some(shared)).expect("spawned once"));
            spawner.spawn(tasks::switch(switch, Some(shared)).expect("spawned once"));
            spawner.spawn(
                tasks::collect(modem, settings, identity, shared, random, store).expect("spawned once"),
            );
        }
        _ => {
            above.spawn(tasks::watchdog(watchdog, None).expect("spawned once"));
            spawner.spawn(tasks::switch(switch, None).expect("spawned once"));
            spawner.spawn(tasks::configure(modem, identity, random, store).expect("spawned once"));
        }
    }
}

/// Puts the identity where it stays.
fn keep(identity: Identity) -> &'static Identity {
    static IDENTITY: StaticCell<Identity> = StaticCell::new();
    IDENTITY.init(identity)
}

/// What a device does that cannot be one: it says so, and waits for a person.
async fn flicker(led: &mut Output<'static>) -> ! {
    loop {
        led.toggle();
        Timer::after_millis(FLICKER_MS).await;
    }
}
