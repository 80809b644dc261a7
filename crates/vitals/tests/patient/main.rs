//! One patient, from samples to alarms: what the server, and a replay, will say of the same values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod bed;
mod equipment;
mod signs;
mod silence;
mod stops;
