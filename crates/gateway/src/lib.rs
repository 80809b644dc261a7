//! The device gateway: takes connections of devices, finds out whose they are, decodes what they
//! send, and publishes every reading to its MQTT topics.
//!
//! A reading goes `listener` → `connection` → `identify` → `reading` → `publisher`; each step is
//! a module of that name. The gateway never keeps a reading after it was published (the journal is the
//! next issue's), never trusts a byte before identification, and never logs a patient's values.

mod admission;
mod connection;
mod http;
mod identify;
mod leash;
mod limits;
mod listener;
mod metrics;
mod publisher;
mod reading;
mod server;
mod session;
mod topics;

pub use limits::Limits;
pub use metrics::Stats;
pub use publisher::external::{BrokerUrlError, ExternalBroker};
pub use server::{Addresses, BrokerChoice, Server, ServerConfig, ServerError};
