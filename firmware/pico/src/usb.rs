//! The log over USB: a serial port that any computer knows (CDC-ACM). Nothing that comes in over it is looked at.

use embassy_futures::join::join;
use embassy_rp::Peri;
use embassy_rp::interrupt::typelevel::{Binding, USBCTRL_IRQ};
use embassy_rp::peripherals::USB;
use embassy_rp::usb::{Driver, InterruptHandler};
use embassy_usb::class::cdc_acm::{CdcAcmClass, State};
use embassy_usb::{Builder, Config};
use static_cell::StaticCell;

use crate::log;

/// The test id of the registry of ids for open hardware; a product needs its own.
const VENDOR: u16 = 0x1209;
const PRODUCT: u16 = 0x0001;
const PACKET_LEN_MAX: u16 = 64;
/// A packet that is not full ends a transfer, so that the computer shows it at once.
const PIECE_LEN_MAX: usize = 63;

struct Buffers {
    configuration: [u8; 128],
    bos: [u8; 32],
    control: [u8; 64],
    state: State<'static>,
}

/// Serves the port.
pub(crate) async fn serve(
    usb: Peri<'static, USB>,
    interrupts: impl Binding<USBCTRL_IRQ, InterruptHandler<USB>> + 'static,
) -> ! {
    static BUFFERS: StaticCell<Buffers> = StaticCell::new();
    let buffers = BUFFERS.init(Buffers {
        configuration: [0; 128],
        bos: [0; 32],
        control: [0; 64],
        state: State::new(),
    });
    let mut config = Config::new(VENDOR, PRODUCT);
    config.manufacturer = Some("Vitalwire");
    config.product = Some("Vitalwire device log");
    config.max_power = 250;
    let mut builder = Builder::new(
        Driver::new(usb, interrupts),
        config,
        &mut buffers.configuration,
        &mut buffers.bos,
        &mut [],
        &mut buffers.control,
    );
    let class = CdcAcmClass::new(&mut builder, &mut buffers.state, PACKET_LEN_MAX);
    let mut device = builder.build();
    match join(device.run(), copy(class)).await {}
}

/// Copies the log to the port whenever someone reads it.
async fn copy<'d, D: embassy_usb::driver::Driver<'d>>(mut class: CdcAcmClass<'d, D>) -> ! {
    loop {
        class.wait_connection().await;
        // A computer on which no one reads the port asks for no packet: then this waits, and the log keeps its newest lines.
        let piece = log::oldest::<PIECE_LEN_MAX>().await;
        if class.write_packet(piece.bytes()).await.is_ok() {
            log::take(&piece);
        }
    }
}
