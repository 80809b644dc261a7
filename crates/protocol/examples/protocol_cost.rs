//! Measures what identification, decoding and parsing cost on this machine: `cargo run --release -p
//! vitalwire-protocol --example protocol_cost`. It prints nanoseconds and judges nothing.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on must stop")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use vitalwire_protocol::{
    CbcSecret, FRAME_LEN_MAX, FrameDecoder, FrameEncoder, Sample, Variant, first_block, first_block_fits,
    identify_variant,
};

const JSON: &[u8] = br#"{"Temp":"36.600","TempMcu":"23.700","PulseSig":"1.873","Acel_x":"0.000","Acel_y":"0.000","Acel_z":"0.000","TempMpu":"23.400"}"#;

/// Rounds of each measurement; the fastest counts, as it was disturbed least.
const ROUNDS: u32 = 15;

fn main() {
    for keys in [10, 1_000, 100_000] {
        identification(keys);
    }
    let secret = secret(0);
    for variant in Variant::ALL {
        let mut frame = [0; FRAME_LEN_MAX];
        let encoder = FrameEncoder::new(&secret, variant);
        let len = encoder.encode(JSON, &mut frame).unwrap();
        let frame = frame.get(..len).unwrap();
        let mut decoder = FrameDecoder::new(&secret, variant);
        let decode = fastest(10_000, || {
            let mut input = black_box(frame);
            black_box(decoder.next(&mut input).unwrap().unwrap());
        });
        let mut out = [0; FRAME_LEN_MAX];
        let encode = fastest(10_000, || {
            black_box(encoder.encode(black_box(JSON), &mut out).unwrap());
        });
        let identify = fastest(10_000, || {
            black_box(identify_variant(&secret, black_box(frame)).unwrap());
        });
        println!(
            "{variant}: decode {decode:.0} ns, encode {encode:.0} ns, identify_variant {identify:.0} ns a frame"
        );
    }
    let parse = fastest(10_000, || {
        black_box(Sample::parse(black_box(JSON)).ok());
    });
    println!("parse {parse:.0} ns a sample; a decoder takes {} bytes", size_of::<FrameDecoder>());
}

/// The worst case: no key fits.
fn identification(keys: u32) {
    let secrets: Vec<CbcSecret> = (0..keys).map(secret).collect();
    let mut frame = [0; FRAME_LEN_MAX];
    FrameEncoder::new(&secret(u32::MAX), Variant::Chained).encode(JSON, &mut frame).unwrap();
    let block = first_block(&frame).unwrap().unwrap();
    let total =
        fastest(1, || assert!(!secrets.iter().any(|secret| first_block_fits(secret, black_box(&block)))));
    println!(
        "identification among {keys} keys: {:.3} ms, {:.0} ns a key",
        total / 1e6,
        total / f64::from(keys)
    );
}

fn secret(number: u32) -> CbcSecret {
    let mut key = [0x5a; 16];
    key[..4].copy_from_slice(&number.to_le_bytes());
    CbcSecret::new(key, [0x41; 16])
}

/// Nanoseconds of one call, from the fastest of [`ROUNDS`] rounds of `calls`.
fn fastest(calls: u32, mut call: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed()
    };
    let fastest = (0..ROUNDS).map(round).min().unwrap_or(Duration::ZERO);
    fastest.as_secs_f64() * 1e9 / f64::from(calls)
}
