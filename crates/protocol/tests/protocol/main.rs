//! The protocol against the paper's own frames, against damage of every kind, and against random texts. No sockets,
//! no clock; random tests print the seed that failed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected must fail"
)]

mod cuts;
mod damage;
mod encoding;
mod identification;
mod samples;
mod vectors;
