//! The core as connections' tasks, publishers and the storage's thread share it, with a clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::core::Core;

/// See the module.
pub(crate) struct SharedCore {
    core: Mutex<Core>,
    started: Instant,
    /// What the clock showed then. It stands still while the broker does not run, and no setting of the system's clock moves it.
    base_s: u64,
}

impl SharedCore {
    pub(crate) fn new(core: Core, base_s: u64) -> Self {
        Self { core: Mutex::new(core), started: Instant::now(), base_s }
    }

    /// The core, at this time. No one holds it for longer than a turn.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        let now_s = self.base_s + self.started.elapsed().as_secs();
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.now_s = now_s;
        core
    }
}
