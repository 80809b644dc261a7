//! The outbox against a flash that loses power, and what a session says. Against the server they stand in
//! `gateway::link::course::pair`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod faults;
mod outbox;
mod ownership;
mod power;
mod session;
