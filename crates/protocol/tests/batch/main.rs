//! The batch protocol against byte literals, cuts, damage, limits and random batches, and what it costs on the wire. No
//! sockets, no clock; random tests print the seed that failed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected must fail"
)]

mod cost;
mod cuts;
mod examples;
mod limits;
mod refusals;
mod round_trip;
mod signal;
mod stream;
