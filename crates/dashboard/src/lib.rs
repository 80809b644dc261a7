//! The dashboard: every patient live in a browser, their alarms and trends.
//!
//! It knows a running server by its public handles alone, and decides nothing about patients: it shows what the server says.

pub mod api;
pub mod message;
