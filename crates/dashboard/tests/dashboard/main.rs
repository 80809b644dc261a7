//! The dashboard on a real server with real devices, over real sockets: each route, each refusal, and the live connection.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod admin;
mod alarms;
mod hostile;
mod live;
mod login;
mod openapi;
mod patients;
mod provider;
mod refusals;
mod schema;
mod support;
mod tls;
mod tokens;
mod waves;
