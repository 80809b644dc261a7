//! The alarm machine: case by case, and against a simple model with random values, times, people and restarts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on fails"
)]

mod cases;
mod model;
mod random;
mod script;
