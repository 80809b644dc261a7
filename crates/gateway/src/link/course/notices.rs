//! What those who watch over a device are told of its connection, and how often: a device floods neither them nor the log.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::DeviceEvent;

/// What is told of a connection in [`NOTICES_TIME`]; more is dropped. What that loses is no reading.
const NOTICES_MAX: u32 = 20;
const NOTICES_TIME: Duration = Duration::from_secs(10);

/// What is to be told.
#[derive(Debug)]
pub(super) struct Notices {
    /// As many as one message makes: the next is taken when they are told.
    waiting: VecDeque<DeviceEvent>,
    since: Instant,
    told: u32,
    /// How many batches the device's clock has been ahead of.
    ahead: u64,
}

impl Notices {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), since: now, told: 0, ahead: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<DeviceEvent> {
        self.waiting.pop_front()
    }

    /// Has it told, unless too much was told lately.
    pub(super) fn push(&mut self, now: Instant, event: DeviceEvent) {
        if now.saturating_duration_since(self.since) >= NOTICES_TIME {
            (self.since, self.told) = (now, 0);
        }
        self.told = self.told.saturating_add(1);
        if self.told <= NOTICES_MAX {
            self.waiting.push_back(event);
        }
    }

    /// Whether the device's clock is ahead of this batch's reception. That is a state of the connection, told when it begins and
    /// when it ends: a device sends thousands of batches in a second.
    pub(super) fn note_clock(&mut self, now: Instant, sequence: u64, is_ahead: bool) {
        match (self.ahead, is_ahead) {
            (0, true) => self.push(now, DeviceEvent::ClockJump { sequence }),
            (1.., false) => self.push(now, DeviceEvent::ClockJumpOver { sequence, batches: self.ahead }),
            _ => {}
        }
        self.ahead = if is_ahead { self.ahead.saturating_add(1) } else { 0 };
    }
}
