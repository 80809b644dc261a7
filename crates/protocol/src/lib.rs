//! What Vitalwire speaks on the wire, shared by device, simulator and gateway. `PROTOCOL.md` is its text.
//!
//! It decides bytes and nothing else: it never allocates, opens a socket, reads a clock or draws a random number, and
//! it never prints a key or a patient's value. Keys come in as arguments, frames and samples go out.
#![no_std]

pub mod batch;
pub mod client_hello;
pub mod detect;
pub mod frame;
pub mod identify;
mod limits;
pub mod sample;

pub use client_hello::{CLIENT_HELLO_LEN_MAX, ClientHelloError, has_client_hello};
pub use detect::{Detected, detect};
pub use frame::{
    BLOCK_LEN, BLOCKS_MAX, CbcSecret, FRAME_LEN_MAX, FrameDecoder, FrameEncoder, FrameError, JSON_LEN_MAX,
    ParseVariantError, Variant,
};
pub use identify::{first_block, first_block_fits, identify_variant};
pub use sample::{Channel, Sample, SampleError, VALUE_LEN_MAX, Value, write_sample_json};
