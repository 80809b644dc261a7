//! What is to be found in a patient's signals, and when someone must be told: beats, rates with their quality, a screening
//! score, and alarms. It has no clock and no I/O: everything is stepped with values and their times, so that a test, the
//! server and a replay of the journal run the same code. It never claims to be a medical device.

#![no_std]

extern crate alloc;

pub mod alarm;
pub mod beats;
pub mod load;
mod math;
pub mod monitor;
pub mod replay;
pub mod score;
pub mod wave;
