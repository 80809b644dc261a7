//! Outbox and session against a flash that loses power and a server that remembers everything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod faults;
mod model;
mod outbox;
mod ownership;
mod power;
mod server;
mod session;
