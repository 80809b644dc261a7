//! What a device does on the secure link: collects values into batches, keeps them until they are acknowledged, and says
//! what PROTOCOL.md §4 wants said.
//!
//! Everything here is `no_std` without `alloc` and without I/O: memory, flash, the clock and randomness are arguments, so
//! that the firmware, the simulator and a test run the same code. It never encrypts, never opens a connection, and
//! never forgets a batch that was not acknowledged, unless its outbox is full: then the oldest, and it counts.

#![no_std]

pub mod backoff;
pub mod batcher;
pub mod outbox;
pub mod session;
