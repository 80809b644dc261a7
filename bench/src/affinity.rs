//! On which core a process runs. A process that is started inherits the core of the thread that starts it.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `start` with this thread, and so what it starts, on one core: of those it may use, the one of this number.
pub(crate) fn on_core<T>(number: usize, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let all = sched_getaffinity(None)?;
    let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let core = usable.get(number % usable.len().max(1)).context("this process may use no core")?;
    let mut one = CpuSet::new();
    one.set(*core);
    sched_setaffinity(None, &one)?;
    let started = start();
    sched_setaffinity(None, &all)?;
    started
}
