//! The modem's line: UART0 at 115,200 baud. What comes in is put into a ring by the UART's interrupt, and by DMA while the flash
//! is written and no interrupt can be served: the line has no flow control, and its FIFO overflows after 2.8 ms.

use core::future::poll_fn;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use core::task::Poll;

use embassy_rp::interrupt::InterruptExt as _;
use embassy_rp::interrupt::typelevel::{Binding, DMA_IRQ_0, Handler, UART0_IRQ};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, PIN_0, PIN_1, UART0};
use embassy_rp::uart::{Async, Config, UartTx};
use embassy_rp::{Peri, dma, interrupt, pac};
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// Bits of an index into the ring; the DMA wraps at a power of two.
const RING_BITS: u8 = 13;
/// Bytes of the ring: 0.7 s of the line, longer than an operation of P-256 blocks the thread that reads it.
const RING_LEN: usize = 1 << RING_BITS;

/// At an address that its length divides, as the DMA's ring mode wants (RP2040 datasheet §2.5.1.3).
#[repr(align(8192))]
struct Ring([AtomicU8; RING_LEN]);

static RING: Ring = Ring([const { AtomicU8::new(0) }; RING_LEN]);
/// Bytes that ever came in, and that were ever read; they go round. Only the writer (interrupt or [`collecting`], never both at
/// once) moves the first, only the reader the second.
static CAME: AtomicU32 = AtomicU32::new(0);
static READ: AtomicU32 = AtomicU32::new(0);
/// How many bytes had come when one was lost last, and how many were lost since that was reported.
static LOST_AT: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);
static WAKER: AtomicWaker = AtomicWaker::new();

/// The DMA channel that collects.
const COLLECTING_CHANNEL: usize = 1;

fn place(count: u32) -> &'static AtomicU8 {
    let Ring(bytes) = &RING;
    #[expect(clippy::indexing_slicing, reason = "the remainder is within the ring")]
    &bytes[count as usize % RING_LEN]
}

/// Bytes that the ring can take.
fn room() -> u32 {
    let kept = CAME.load(Ordering::Relaxed).wrapping_sub(READ.load(Ordering::Relaxed));
    (1_u32 << RING_BITS).saturating_sub(kept)
}

/// Notes that a byte came and had no place. Only the interrupt does.
fn lose() {
    LOST_AT.store(CAME.load(Ordering::Relaxed), Ordering::Relaxed);
    LOST.store(LOST.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
}

/// Bytes were lost before what is read next: no one read the ring in time, or interrupts were held back for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// So many at least.
    pub(crate) count: u32,
}

impl core::fmt::Display for Lost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes of the modem's were lost at least", self.count)
    }
}

impl core::error::Error for Lost {}

impl embedded_io_async::Error for Lost {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// The part that hears.
pub(crate) struct Hearing {
    _pin: Peri<'static, PIN_1>,
    _collecting: Peri<'static, DMA_CH1>,
}

/// The part that speaks.
pub(crate) struct Speaking {
    uart: UartTx<'static, Async>,
}

/// Opens the line.
pub(crate) fn open(
    uart: Peri<'static, UART0>,
    (tx, rx): (Peri<'static, PIN_0>, Peri<'static, PIN_1>),
    (tx_dma, rx_dma): (Peri<'static, DMA_CH0>, Peri<'static, DMA_CH1>),
    interrupts: impl Binding<UART0_IRQ, Heard> + Binding<DMA_IRQ_0, dma::InterruptHandler<DMA_CH0>> + 'static,
) -> (Hearing, Speaking) {
    let uart = UartTx::new(uart, tx, tx_dma, interrupts, Config::default());
    // The pull-up keeps the line quiet while there is no modem.
    pac::PADS_BANK0.gpio(1).write(|pad| {
        pad.set_ie(true);
        pad.set_pue(true);
    });
    pac::IO_BANK0
        .gpio(1)
        .ctrl()
        .write(|ctrl| ctrl.set_funcsel(pac::io::vals::Gpio1ctrlFuncsel::UART0_RX as u8));
    pac::UART0.uartcr().modify(|control| control.set_rxe(true));
    pac::UART0.uartimsc().write(listen);
    interrupt::UART0_IRQ.unpend();
    #[expect(unsafe_code, reason = "an interrupt may break a critical section that is made of its mask")]
    // SAFETY: nothing here relies on this interrupt being masked; `collecting` is a critical section of its own.
    unsafe {
        interrupt::UART0_IRQ.enable();
    }
    (Hearing { _pin: rx, _collecting: rx_dma }, Speaking { uart })
}

/// Interrupts at half a FIFO, and when the line falls silent with bytes in it (RP2040 datasheet §4.2.6.3).
fn listen(mask: &mut pac::uart::regs::Uartimsc) {
    mask.set_rxim(true);
    mask.set_rtim(true);
}

/// Serves the UART's interrupt.
pub(crate) struct Heard;

impl Handler<UART0_IRQ> for Heard {
    #[expect(unsafe_code, reason = "the trait's method is unsafe, as only the interrupt may call it")]
    unsafe fn on_interrupt() {
        while !pac::UART0.uartfr().read().rxfe() {
            let data = pac::UART0.uartdr().read();
            if data.oe() {
                lose();
            }
            // An ESP8266 starts with a line at 74,880 baud, of which nothing can be read.
            if data.fe() || data.be() {
                continue;
            }
            if room() == 0 {
                lose();
                continue;
            }
            let came = CAME.load(Ordering::Relaxed);
            place(came).store(data.data(), Ordering::Relaxed);
            CAME.store(came.wrapping_add(1), Ordering::Release);
        }
        WAKER.wake();
    }
}

/// Carries out an operation during which no interrupt can be served, and keeps what comes in meanwhile.
pub(crate) fn collecting<T>(operation: impl FnOnce() -> T) -> T {
    critical_section::with(|_| {
        let channel = pac::DMA.ch(COLLECTING_CHANNEL);
        let came = CAME.load(Ordering::Relaxed);
        let room = room();
        channel.read_addr().write_value(address(pac::UART0.uartdr().as_ptr()));
        channel.write_addr().write_value(address(place(came).as_ptr()));
        channel.trans_count().write_value(room);
        if room > 0 {
            channel.ctrl_trig().write(|ctrl| collect(ctrl, true));
            pac::UART0.uartdmacr().modify(|dma| dma.set_rxdmae(true));
        }
        let output = operation();
        if room > 0 {
            pac::UART0.uartdmacr().modify(|dma| dma.set_rxdmae(false));
            // Paused before it is aborted, so that the transfer under way is counted (RP2040 datasheet §2.5.5.3).
            channel.al1_ctrl().write_value({
                let mut ctrl = pac::dma::regs::CtrlTrig(0);
                collect(&mut ctrl, false);
                ctrl.0
            });
            pac::DMA.chan_abort().write(|abort| abort.set_chan_abort(1 << COLLECTING_CHANNEL));
            while channel.ctrl_trig().read().busy() {}
            let collected = room - channel.trans_count().read().min(room);
            CAME.store(came.wrapping_add(collected), Ordering::Release);
        }
        WAKER.wake();
        output
    })
}

fn collect(ctrl: &mut pac::dma::regs::CtrlTrig, is_on: bool) {
    ctrl.set_treq_sel(pac::dma::vals::TreqSel::UART0_RX);
    ctrl.set_data_size(pac::dma::vals::DataSize::SIZE_BYTE);
    ctrl.set_incr_write(true);
    ctrl.set_ring_sel(true);
    ctrl.set_ring_size(RING_BITS);
    #[expect(clippy::cast_possible_truncation, reason = "a channel's number has four bits")]
    ctrl.set_chain_to(COLLECTING_CHANNEL as u8);
    ctrl.set_irq_quiet(true);
    ctrl.set_en(is_on);
}

/// An address as the DMA takes it: all of this machine's have 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "as said")]
fn address<T>(pointer: *mut T) -> u32 {
    pointer as usize as u32
}

/// What there is to be read: so many bytes, none yet, or a loss right before the next.
fn readable() -> Option<Result<u32, Lost>> {
    critical_section::with(|_| {
        let read = READ.load(Ordering::Relaxed);
        let came = CAME.load(Ordering::Relaxed).wrapping_sub(read);
        let count = LOST.load(Ordering::Relaxed);
        if count == 0 {
            return (came > 0).then_some(Ok(came));
        }
        // What came before the last loss is read first, that the reader begins again behind it.
        let before = LOST_AT.load(Ordering::Relaxed).wrapping_sub(read);
        if before > 0 {
            return Some(Ok(before));
        }
        LOST.store(0, Ordering::Relaxed);
        Some(Err(Lost { count }))
    })
}

impl ErrorType for Hearing {
    type Error = Lost;
}

impl Read for Hearing {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Lost> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = poll_fn(|context| {
            WAKER.register(context.waker());
            readable().map_or(Poll::Pending, Poll::Ready)
        })
        .await?;
        let mut read = READ.load(Ordering::Relaxed);
        let mut taken = 0;
        for (byte, _) in bytes.iter_mut().zip(0..count) {
            *byte = place(read).load(Ordering::Relaxed);
            read = read.wrapping_add(1);
            taken += 1;
        }
        READ.store(read, Ordering::Release);
        Ok(taken)
    }
}

impl ErrorType for Speaking {
    type Error = embassy_rp::uart::Error;
}

impl Write for Speaking {
    /// All of it. If this is dropped, the modem got a part.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.uart.write(bytes).await?;
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
