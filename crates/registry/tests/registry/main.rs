//! The registry as its users meet it: real files, real second connections, a real second process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod alarms;
mod auditing;
mod devices;
mod erasing;
mod fixture;
mod handovers;
mod importing;
mod links;
mod opening;
mod rotating;
mod sealing;
mod secrets;
mod stays;
mod tampering;
mod tokens;
mod upgrading;
mod users;
mod watching;
