//! Vitalwire's firmware for the Raspberry Pi Pico: it gives the device crate its hardware and runs each duty in a task of its
//! own. What the device does is in that crate; nothing here decides it.

#![no_std]
#![no_main]

mod clock;
mod entropy;
mod flash;
mod life;
mod line;
mod log;
mod restart;
mod stack;
mod switch;
mod usb;

use embassy_executor::{InterruptExecutor, Spawner};
use embassy_rp::interrupt::{InterruptExt as _, Priority};
use embassy_rp::peripherals::{ADC, DMA_CH0, I2C1, PIO0, USB};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{Peri, adc, bind_interrupts, dma, i2c, interrupt, pio};

use crate::log::log;

bind_interrupts!(struct Irqs {
    ADC_IRQ_FIFO => adc::InterruptHandler;
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>;
    I2C1_IRQ => i2c::InterruptHandler<I2C1>;
    PIO0_IRQ_0 => pio::InterruptHandler<PIO0>;
    UART0_IRQ => line::Heard;
    USBCTRL_IRQ => embassy_rp::usb::InterruptHandler<USB>;
});

#[embassy_executor::task]
async fn serve_usb(usb: Peri<'static, USB>) -> ! {
    usb::serve(usb, Irqs).await
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    let before = restart::before(&mut watchdog);
    log!("Vitalwire {} starts: {before:?}", env!("CARGO_PKG_VERSION"));
    if let Some(place) = restart::panic_place() {
        log!("it panicked before, at {place}");
    }
    spawner.spawn(serve_usb(p.USB).unwrap());
    loop {
        embassy_time::Timer::after_secs(1).await;
        log!("tick");
    }
}
