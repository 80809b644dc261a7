//! The device's settings, on a flash that loses power, and its configuration server, under every request it may get.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod saves;
mod server;
mod store;
mod world;
