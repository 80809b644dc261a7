//! The journal as its users meet it: real files, a full file system, a killed process, a disk that forgets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod appender;
mod appending;
mod bounds;
mod clock;
mod crash;
mod erasing;
mod fixture;
mod full;
mod gaps;
mod history;
mod opening;
mod reading;
mod sums;

#[cfg(target_os = "linux")]
mod forgetful_disk;
#[cfg(target_os = "linux")]
mod power;
