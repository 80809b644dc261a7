//! Captures made byte by byte, and what the verifier says of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(missing_docs, unreachable_pub, reason = "a test program")]

mod craft;
mod damage;
mod files;
mod links;
mod needles;
mod protocols;
mod streams;
