//! The chip's timer behind all waiting: embassy's time driver. embassy-rp has one too, which looks through everything that waits
//! at each registration, some thousand cycles for every sample. This one moves its alarm only to an earlier moment, and looks
//! through it when the alarm rings.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::CriticalSection;
use embassy_rp::interrupt::InterruptExt as _;
use embassy_rp::{interrupt, pac};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_time_driver::{Driver, time_driver_impl};
use embassy_time_queue_utils::Queue;

/// Of the timer's four alarms.
const ALARM: usize = 0;

struct Timer {
    waiting: Mutex<CriticalSectionRawMutex, RefCell<Waiting>>,
}

struct Waiting {
    queue: Queue,
    /// No one who waits is due before this moment, at which the alarm rings; [`u64::MAX`]: it is off.
    alarm_us: u64,
}

time_driver_impl!(static TIMER: Timer = Timer {
    waiting: Mutex::new(RefCell::new(Waiting { queue: Queue::new(), alarm_us: u64::MAX })),
});

impl Driver for Timer {
    fn now(&self) -> u64 {
        now_us()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            let mut waiting = self.waiting.borrow(section).borrow_mut();
            if waiting.queue.schedule_wake(at, waker) && at < waiting.alarm_us {
                waiting.alarm_us = at;
                if !set_alarm(at) {
                    interrupt::TIMER_IRQ_0.pend();
                }
            }
        });
    }
}

impl Timer {
    /// Wakes the tasks that are due, and sets the alarm for the next one.
    fn ring(&self, section: CriticalSection<'_>) {
        let mut waiting = self.waiting.borrow(section).borrow_mut();
        loop {
            waiting.alarm_us = waiting.queue.next_expiration(now_us());
            if waiting.alarm_us == u64::MAX || set_alarm(waiting.alarm_us) {
                return;
            }
        }
    }
}

/// Makes the timer ring.
pub(crate) fn start() {
    pac::TIMER.inte().modify(|enabled| enabled.set_alarm(ALARM, true));
    interrupt::TIMER_IRQ_0.unpend();
    #[expect(unsafe_code, reason = "an interrupt may break a critical section that is made of its mask")]
    // SAFETY: nothing relies on this interrupt being masked.
    unsafe {
        interrupt::TIMER_IRQ_0.enable();
    }
    // Someone may wait already.
    interrupt::TIMER_IRQ_0.pend();
}

mod handler {
    use super::{ALARM, TIMER, interrupt, pac};

    #[interrupt]
    fn TIMER_IRQ_0() {
        critical_section::with(|section| {
            pac::TIMER.intr().write(|raised| raised.set_alarm(ALARM, true));
            TIMER.ring(section);
        });
    }
}

/// Microseconds since the start: the high half must not have changed while the low one was read (RP2040 datasheet §4.6.3).
fn now_us() -> u64 {
    loop {
        let high = pac::TIMER.timerawh().read();
        let low = pac::TIMER.timerawl().read();
        if pac::TIMER.timerawh().read() == high {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// Lets the alarm ring at this moment; false if that is past. It compares 32 bits only (RP2040 datasheet §4.6.1) and rings too
/// early when the moment is more than 71 minutes away, which costs a look at who waits.
#[expect(clippy::cast_possible_truncation, reason = "as said")]
fn set_alarm(at_us: u64) -> bool {
    pac::TIMER.alarm(ALARM).write_value(at_us as u32);
    at_us > now_us()
}
