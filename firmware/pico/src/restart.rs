//! Restarts, and what the device knows after one: the watchdog's first scratch register holds why the program wanted it (RP2040
//! datasheet §4.7.1: it survives a restart, and a power cut clears it), and a piece of RAM that the start-up code does not
//! clear holds where it panicked.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m_rt::{ExceptionFrame, exception};
use embassy_rp::pac;
use embassy_rp::watchdog::{ResetReason, Watchdog};
use embassy_time::Timer;
use heapless::String;
use vitalwire_device::mode::Mode;

/// The upper half of the scratch register, so that what something else left there is not taken for ours.
const MARK: u32 = 0x5657_0000;
/// The scratch register that holds [`MARK`] while the device collects.
const COLLECTS: usize = 1;
/// How long the last lines of the log take to reach a reader.
const LOG_MS: u64 = 100;

/// Why the program restarts the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Settings were saved: to collector mode, whatever the switch says.
    Saved = 1,
    /// The mode switch was moved.
    Switched = 2,
    /// The program panicked or faulted.
    Panicked = 3,
    /// A part showed no life.
    Silent = 4,
}

/// What was before this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: the power came, or the reset pin was pulled.
    Power,
    /// A restart that the program wanted.
    Wanted(Restart),
    /// The watchdog was not fed.
    Unfed,
}

/// What was before this start; to be asked once.
pub(crate) fn before(watchdog: &mut Watchdog) -> Before {
    let scratch = watchdog.get_scratch(0);
    watchdog.set_scratch(0, 0);
    let all = [Restart::Saved, Restart::Switched, Restart::Panicked, Restart::Silent];
    match all.into_iter().find(|restart| scratch == MARK | *restart as u32) {
        Some(restart) => Before::Wanted(restart),
        None if watchdog.reset_reason() == Some(ResetReason::TimedOut) => Before::Unfed,
        None => Before::Power,
    }
}

/// Whether to go on collecting although the switch says otherwise: settings were just saved, or the device collected and failed. A
/// failure is no one's wish, and a patient's values must not end with it.
pub(crate) fn goes_on(before: Before, watchdog: &mut Watchdog) -> bool {
    let has_failed = matches!(before, Before::Wanted(Restart::Panicked | Restart::Silent) | Before::Unfed);
    before == Before::Wanted(Restart::Saved) || has_failed && watchdog.get_scratch(COLLECTS) == MARK
}

/// Notes the mode of this start for [`goes_on`].
pub(crate) fn note_mode(mode: Mode, watchdog: &mut Watchdog) {
    watchdog.set_scratch(COLLECTS, if mode == Mode::Collector { MARK } else { 0 });
}

/// Restarts the device now.
pub(crate) fn restart(why: Restart) -> ! {
    cortex_m::interrupt::disable();
    pac::WATCHDOG.scratch0().write_value(MARK | why as u32);
    // Everything but the two oscillators (RP2040 datasheet §2.13.5, PSM: WDSEL), as the boot ROM starts them itself.
    pac::PSM.wdsel().write_value(pac::psm::regs::Wdsel(0x0001_ffff & !0b11));
    pac::WATCHDOG.ctrl().modify(|ctrl| ctrl.set_enable(false));
    loop {
        pac::WATCHDOG.ctrl().modify(|ctrl| ctrl.set_trigger(true));
    }
}

/// Restarts the device when the reader of the log had time to get its last lines. `last` is done right before, and nothing runs
/// after it: what it saves is all there is.
pub(crate) async fn restart_soon(why: Restart, last: impl FnOnce()) -> ! {
    Timer::after_millis(LOG_MS).await;
    critical_section::with(|_| {
        last();
        restart(why)
    })
}

/// Characters of a place that are kept.
const PLACE_LEN_MAX: usize = 120;
const WORDS: usize = PLACE_LEN_MAX / 4;
const PLACE_MARK: u32 = 0x9a1c_57ed;

/// Where the program panicked: a mark, the length, a checksum, then the text.
#[expect(unsafe_code, reason = "only so are words kept over a restart")]
// SAFETY: the section is RAM that the start-up code leaves as it is; any bits are a valid value of these words, and none is
// believed without mark and checksum.
#[unsafe(link_section = ".uninit.vitalwire_panic")]
static PLACE: [AtomicU32; 3 + WORDS] = [const { AtomicU32::new(0) }; 3 + WORDS];

fn keep(place: &str) {
    let [mark, len, sum, words @ ..] = &PLACE;
    let mut total = 0_u32;
    for (word, bytes) in words.iter().zip(place.as_bytes().chunks(4)) {
        let mut four = [0; 4];
        for (to, from) in four.iter_mut().zip(bytes) {
            *to = *from;
        }
        let value = u32::from_le_bytes(four);
        total = total.rotate_left(5) ^ value;
        word.store(value, Ordering::Relaxed);
    }
    len.store(u32::try_from(place.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    sum.store(total, Ordering::Relaxed);
    mark.store(PLACE_MARK, Ordering::Relaxed);
}

/// Where the program panicked before this start, if it did; to be asked once.
pub(crate) fn panic_place() -> Option<String<PLACE_LEN_MAX>> {
    let [mark, len, sum, words @ ..] = &PLACE;
    let is_marked = mark.load(Ordering::Relaxed) == PLACE_MARK;
    mark.store(0, Ordering::Relaxed);
    let len =
        usize::try_from(len.load(Ordering::Relaxed)).ok().filter(|len| is_marked && *len <= PLACE_LEN_MAX)?;
    let mut total = 0_u32;
    let mut bytes: heapless::Vec<u8, PLACE_LEN_MAX> = heapless::Vec::new();
    for word in words.iter().take(len.div_ceil(4)) {
        let value = word.load(Ordering::Relaxed);
        total = total.rotate_left(5) ^ value;
        bytes.extend_from_slice(&value.to_le_bytes()).ok()?;
    }
    bytes.truncate(len);
    (total == sum.load(Ordering::Relaxed)).then_some(())?;
    String::from_utf8(bytes).ok()
}

/// The end of a place, if it does not fit: the file's name matters more than its folder.
fn keep_end(place: &str) {
    let start = place.len().saturating_sub(PLACE_LEN_MAX);
    keep(place.get(start..).unwrap_or("?"));
}

/// Says where, not what: a message might hold a patient's values.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    let mut place: String<{ 2 * PLACE_LEN_MAX }> = String::new();
    if let Some(location) = info.location() {
        // A place that is too long is cut.
        let _ = write!(place, "{}:{}:{}", location.file(), location.line(), location.column());
    }
    keep_end(&place);
    restart(Restart::Panicked)
}

#[expect(
    unsafe_code,
    reason = "cortex-m-rt wants an unsafe function: a handler must not return to what faulted"
)]
mod fault {
    use super::*;

    /// What the processor does not forgive: an access outside of all memory, such as beyond the end of the stack.
    // SAFETY: it never returns, and uses the interrupted program's data nowhere but in words that need no consistency.
    #[exception]
    unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
        let mut place: String<PLACE_LEN_MAX> = String::new();
        let _ = write!(place, "hard fault at {:#010x}, called from {:#010x}", frame.pc(), frame.lr());
        keep(&place);
        restart(Restart::Panicked)
    }
}
