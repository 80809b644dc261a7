//! What several tasks of the firmware share. All of it may be used in interrupts too.

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use static_cell::{ConstStaticCell, StaticCell};
use vitalwire_device::outbox::Outbox;
use vitalwire_device::sensors::Readings;
use vitalwire_device::status::Status;
use vitalwire_device::{flash, recorder};

use crate::flash::{Part, Shared as SharedFlash};

/// Bytes of memory for batches that were not delivered: some minutes at the plan's rate. Beyond, they go to flash.
const OUTBOX_LEN: usize = 48 * 1024;

/// The mutex of everything that recorder and collector share, as the recorder runs in an interrupt.
pub(crate) type Mutex = CriticalSectionRawMutex;
/// What recorder and collector share.
pub(crate) type Shared = recorder::Shared<Mutex, &'static mut [u8], Part>;

/// How the device is.
pub(crate) static STATUS: Status<Mutex> = Status::new();
/// What the sensors said last.
pub(crate) static READINGS: Readings<Mutex> = Readings::new();

/// The outbox of a boot with this number, with what earlier boots left in flash.
pub(crate) fn mount(boot: u64, flash: &'static SharedFlash, now_ms: u64) -> &'static Shared {
    static MEMORY: ConstStaticCell<[u8; OUTBOX_LEN]> = ConstStaticCell::new([0; OUTBOX_LEN]);
    static SHARED: StaticCell<Shared> = StaticCell::new();
    let memory: &'static mut [u8] = MEMORY.take();
    SHARED.init_with(|| Shared::new(Outbox::mount(boot, memory, Part::new(flash, flash::OUTBOX)), now_ms))
}
