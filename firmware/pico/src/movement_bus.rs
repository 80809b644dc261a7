//! The movement sensor's bus: I2C1, SDA at GP14, SCL at GP15. A transfer runs in the bus's interrupt alone and wakes its task once,
//! at its end; embassy-rp's wakes it for each part, which took more cycles than all else that is done with the sensor.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

use embassy_rp::i2c::{Blocking, Config, I2c};
use embassy_rp::interrupt::InterruptExt as _;
use embassy_rp::interrupt::typelevel::{Binding, Handler, I2C1_IRQ};
use embassy_rp::peripherals::{I2C1, PIN_14, PIN_15};
use embassy_rp::{Peri, interrupt, pac};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_hal_async::i2c::{self, ErrorKind, ErrorType, NoAcknowledgeSource, Operation, SevenBitAddress};

/// The fastest that an MPU-6050 takes (its datasheet §6.4).
const BUS_HZ: u32 = 400_000;
/// Bytes that are written and read in a transfer, at most. The sensor's driver writes two and reads 64.
const WRITTEN_LEN_MAX: usize = 4;
const READ_LEN_MAX: usize = 64;
/// Bytes of each of the bus's two FIFOs (RP2040 datasheet §4.3).
const FIFO_LEN: usize = 16;
/// The interrupt comes for more while so many bytes are left to be sent: 90 µs.
const REFILL_AT: u8 = 4;

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusError {
    /// No one answers.
    NoAcknowledge,
    /// The hardware gave up for another reason: bits of its register IC_TX_ABRT_SOURCE.
    Aborted(u32),
    /// The transfer is not a few bytes written, then some read, or either of these alone.
    Unsupported,
}

impl i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAcknowledge => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
            Self::Aborted(_) | Self::Unsupported => ErrorKind::Other,
        }
    }
}

/// The transfer under way: bytes are written, then some are read.
struct Transfer {
    written: [u8; WRITTEN_LEN_MAX],
    written_len: usize,
    read: [u8; READ_LEN_MAX],
    /// How many were read so far.
    read_len: usize,
    /// Commands for the hardware, one for each byte either way, and how many of them it has.
    commands: usize,
    sent: usize,
    outcome: Option<Result<(), BusError>>,
}

static TRANSFER: Mutex<CriticalSectionRawMutex, RefCell<Transfer>> = Mutex::new(RefCell::new(Transfer {
    written: [0; WRITTEN_LEN_MAX],
    written_len: 0,
    read: [0; READ_LEN_MAX],
    read_len: 0,
    commands: 0,
    sent: 0,
    outcome: None,
}));
static WAKER: AtomicWaker = AtomicWaker::new();

pub(crate) struct MovementBus {
    /// Set it up, and keeps its pins.
    _i2c: I2c<'static, I2C1, Blocking>,
}

/// Serves the bus's interrupt.
pub(crate) struct Moved;

impl Handler<I2C1_IRQ> for Moved {
    #[expect(unsafe_code, reason = "the trait's method is unsafe, as only the interrupt may call it")]
    unsafe fn on_interrupt() {
        if TRANSFER.lock(|transfer| transfer.borrow_mut().go_on()) {
            WAKER.wake();
        }
    }
}

impl MovementBus {
    /// The bus at these pins.
    pub(crate) fn new(
        i2c: Peri<'static, I2C1>,
        (sda, scl): (Peri<'static, PIN_14>, Peri<'static, PIN_15>),
        _interrupts: impl Binding<I2C1_IRQ, Moved>,
    ) -> Self {
        let mut config = Config::default();
        config.frequency = BUS_HZ;
        let i2c = I2c::new_blocking(i2c, scl, sda, config);
        listen(false, false);
        interrupt::I2C1_IRQ.unpend();
        #[expect(unsafe_code, reason = "an interrupt may break a critical section that is made of its mask")]
        // SAFETY: nothing relies on this interrupt being masked.
        unsafe {
            interrupt::I2C1_IRQ.enable();
        }
        Self { _i2c: i2c }
    }
}

/// Which interrupts come: at the end, and when there is room for more commands.
fn listen(to_end: bool, to_room: bool) {
    pac::I2C1.ic_intr_mask().write(|mask| {
        mask.set_m_stop_det(to_end);
        mask.set_m_tx_abrt(to_end);
        mask.set_m_tx_empty(to_room);
    });
}

/// Ends what the hardware does when a transfer is over, and also when no one waits for it any more.
struct Quiet;

impl Drop for Quiet {
    fn drop(&mut self) {
        listen(false, false);
    }
}

impl Transfer {
    /// Takes what came and sends what there is room for; true at the end.
    fn go_on(&mut self) -> bool {
        let bus = pac::I2C1;
        let came = usize::from(bus.ic_rxflr().read().rxflr());
        // More than was ordered cannot come.
        for byte in self.read.iter_mut().skip(self.read_len).take(came) {
            *byte = bus.ic_data_cmd().read().dat();
        }
        self.read_len += came;
        let raised = bus.ic_raw_intr_stat().read();
        if raised.tx_abrt() {
            let source = bus.ic_tx_abrt_source().read();
            let is_unanswered = source.abrt_7b_addr_noack() || source.abrt_txdata_noack();
            let error = if is_unanswered { BusError::NoAcknowledge } else { BusError::Aborted(source.0) };
            self.outcome = Some(Err(error));
        } else if raised.stop_det() {
            self.outcome = Some(Ok(()));
        }
        if self.outcome.is_some() {
            listen(false, false);
            return true;
        }
        self.send();
        false
    }

    /// Fills the FIFO, but orders no more than the other one can take.
    fn send(&mut self) {
        let bus = pac::I2C1;
        let left = FIFO_LEN.saturating_sub(usize::from(bus.ic_txflr().read().txflr()));
        let ordered = self.sent.saturating_sub(self.written_len + self.read_len);
        let room = left.min(FIFO_LEN.saturating_sub(ordered));
        let end = self.commands.min(self.sent + room);
        for at in self.sent..end {
            bus.ic_data_cmd().write(|command| {
                match self.written.get(at).filter(|_| at < self.written_len) {
                    Some(byte) => command.set_dat(*byte),
                    None => command.set_cmd(true),
                }
                command.set_restart(at > 0 && at == self.written_len);
                command.set_stop(at + 1 == self.commands);
            });
        }
        self.sent = end;
        listen(true, self.sent < self.commands);
    }

    /// Begins: the bus is switched off and on, so that nothing is left of a transfer that was dropped.
    fn begin(&mut self, address: SevenBitAddress, operations: &[Operation<'_>]) -> Result<(), BusError> {
        let (written, read_len): (&[u8], usize) = match operations {
            [Operation::Write(written)] => (written, 0),
            [Operation::Read(read)] => (&[], read.len()),
            [Operation::Write(written), Operation::Read(read)] => (written, read.len()),
            _ => return Err(BusError::Unsupported),
        };
        let room = self.written.get_mut(..written.len()).filter(|_| read_len <= READ_LEN_MAX);
        room.ok_or(BusError::Unsupported)?.copy_from_slice(written);
        self.written_len = written.len();
        self.commands = written.len() + read_len;
        if self.commands == 0 {
            return Err(BusError::Unsupported);
        }
        (self.sent, self.read_len, self.outcome) = (0, 0, None);
        let bus = pac::I2C1;
        bus.ic_enable().write(|enable| enable.set_enable(false));
        bus.ic_tar().write(|target| target.set_ic_tar(address.into()));
        bus.ic_tx_tl().write(|threshold| threshold.set_tx_tl(REFILL_AT));
        bus.ic_enable().write(|enable| enable.set_enable(true));
        bus.ic_clr_intr().read();
        self.send();
        Ok(())
    }

    /// Hands on what was read.
    fn give(&self, operations: &mut [Operation<'_>]) {
        if let Some(Operation::Read(bytes)) = operations.last_mut() {
            for (byte, came) in bytes.iter_mut().zip(&self.read) {
                *byte = *came;
            }
        }
    }
}

impl ErrorType for MovementBus {
    type Error = BusError;
}

impl i2c::I2c for MovementBus {
    /// If this is dropped, the transfer ends somewhere, and the next begins again.
    async fn transaction(
        &mut self,
        address: SevenBitAddress,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusError> {
        let _quiet = Quiet;
        TRANSFER.lock(|transfer| transfer.borrow_mut().begin(address, operations))?;
        poll_fn(|context| {
            WAKER.register(context.waker());
            TRANSFER.lock(|transfer| {
                let transfer = transfer.borrow();
                transfer.outcome.map_or(Poll::Pending, |outcome| {
                    transfer.give(operations);
                    Poll::Ready(outcome)
                })
            })
        })
        .await
    }
}
