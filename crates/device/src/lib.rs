//! What a device does: it measures, keeps what it measured until the server has it, and can be set up by a person with a
//! phone.
//!
//! Everything here is `no_std` without `alloc`: memory, flash, sensors, the modem's line, the clock and randomness are
//! arguments, so that the firmware, the desk device and a test run the same code. It never forgets a batch that was not
//! acknowledged, unless its outbox is full: then the oldest, and it counts.

#![no_std]

pub mod backoff;
pub mod batcher;
pub mod clock;
pub mod collector;
pub mod crc;
pub mod flash;
pub mod identity;
pub mod led;
pub mod mode;
pub mod modem;
pub mod outbox;
pub mod ownership;
pub mod random;
pub mod recorder;
pub mod sensors;
pub mod session;
pub mod settings;
pub mod setup;
pub mod status;
pub mod store;
#[cfg(test)]
mod test_clock;
pub mod tls;
