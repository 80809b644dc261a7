//! The movement sensor's bus: I2C1, SDA at GP14, SCL at GP15. A transfer runs in the bus's interrupt alone and wakes its task once,
//! at its end; embassy-rp's wakes it for each part, which took more cycles than all else that is done with the sensor.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

use embassy_rp::i2c::{Blocking, Config, I2c};
use embassy_rp::interrupt::typelevel::{Binding, Handler, I2C1_IRQ};
use embassy_rp::interrupt::InterruptExt as _;
use embassy_rp::peripherals::{I2C1, PIN_14, PIN_15};
use embassy_rp::{Peri, interrupt, pac};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_hal_async::i2c::{self, ErrorKind, ErrorType, NoAcknowledgeSource, Operation, SevenBitAddress};
use heapless::Vec;

/// The fastest that an MPU-6050 takes (its datasheet §6.4).
const BUS_HZ: u32 = 400_000;
/// Bytes of a transfer, at most, both ways together. The driver reads 64 at once.
const TRANSFER_LEN_MAX: usize = 72;
/// Bytes of each of the bus's two FIFOs (RP2040 datasheet §4.3).
const FIFO_LEN: usize = 16;
/// The interrupt comes for more while so many bytes are left to be sent: 90 µs.
const REFILL_AT: u8 = 4;

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusError {
    /// Nobody answers.
    NoAcknowledge,
    /// The hardware gave up for another reason: bits of its register IC_TX_ABRT_SOURCE.
    Aborted(u32),
    /// The transfer has no bytes, or more than a transfer may have.
    Length,
}

impl i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAcknowledge => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
            Self::Aborted(_) | Self::Length => ErrorKind::Other,
        }
    }
}

/// The transfer under way.
struct Transfer {
    /// As the hardware takes them: bytes to write, and orders to read one.
    commands: Vec<pac::i2c::regs::IcDataCmd, TRANSFER_LEN_MAX>,
    sent: usize,
    received: Vec<u8, TRANSFER_LEN_MAX>,
    /// Commands that were sent for which nothing need be received: bytes to write.
    written: usize,
    outcome: Option<Result<(), BusError>>,
}

static TRANSFER: Mutex<CriticalSectionRawMutex, RefCell<Transfer>> = Mutex::new(RefCell::new(Transfer {
    commands: Vec::new(),
    sent: 0,
    received: Vec::new(),
    written: 0,
    outcome: None,
}));
static WAKER: AtomicWaker = AtomicWaker::new();

/// The bus.
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

/// Ends what the hardware does when a transfer is over, and also when nobody waits for it any more.
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
        for _ in 0..bus.ic_rxflr().read().rxflr() {
            // More than was ordered cannot come.
            let _ = self.received.push(bus.ic_data_cmd().read().dat());
        }
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
        listen(true, self.sent < self.commands.len());
        false
    }

    /// Fills the FIFO, but orders no more than the other one can take.
    fn send(&mut self) {
        let bus = pac::I2C1;
        let left = FIFO_LEN.saturating_sub(usize::from(bus.ic_txflr().read().txflr()));
        let ordered = self.sent.saturating_sub(self.written + self.received.len());
        let room = left.min(FIFO_LEN.saturating_sub(ordered));
        for command in self.commands.iter().skip(self.sent).take(room) {
            bus.ic_data_cmd().write_value(*command);
            self.sent += 1;
            self.written += usize::from(!command.cmd());
        }
    }

    /// Begins: the bus is reset, so that nothing is left of a transfer that was dropped.
    fn begin(&mut self, address: SevenBitAddress, operations: &[Operation<'_>]) -> Result<(), BusError> {
        self.commands.clear();
        self.received.clear();
        (self.sent, self.written, self.outcome) = (0, 0, None);
        let mut was_reading = None;
        for operation in operations {
            let (is_reading, len) = match operation {
                Operation::Read(bytes) => (true, bytes.len()),
                Operation::Write(bytes) => (false, bytes.len()),
            };
            for at in 0..len {
                let mut command = pac::i2c::regs::IcDataCmd(0);
                command.set_cmd(is_reading);
                if let Operation::Write(bytes) = operation {
                    command.set_dat(bytes.get(at).copied().unwrap_or_default());
                }
                command.set_restart(was_reading.is_some_and(|before| before != is_reading));
                was_reading = Some(is_reading);
                self.commands.push(command).map_err(|_| BusError::Length)?;
            }
        }
        self.commands.last_mut().ok_or(BusError::Length)?.set_stop(true);
        let bus = pac::I2C1;
        bus.ic_enable().write(|enable| enable.set_enable(false));
        bus.ic_tar().write(|target| target.set_ic_tar(address.into()));
        bus.ic_tx_tl().write(|threshold| threshold.set_tx_tl(REFILL_AT));
        bus.ic_enable().write(|enable| enable.set_enable(true));
        bus.ic_clr_intr().read();
        self.send();
        listen(true, self.sent < self.commands.len());
        Ok(())
    }

    /// Hands on what was read.
    fn give(&self, operations: &mut [Operation<'_>]) {
        let mut received = self.received.iter();
        for operation in operations {
            if let Operation::Read(bytes) = operation {
                for (byte, came) in bytes.iter_mut().zip(&mut received) {
                    *byte = *came;
                }
            }
        }
    }
}

impl ErrorType for MovementBus {
    type Error = BusError;
}

impl i2c::I2c for MovementBus {
    /// If this is dropped, the transfer ends somewhere, and the next begins anew.
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
