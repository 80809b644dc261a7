//! Writes the seed corpora of the fuzz targets from the recorded frames, and from one batch message of each kind: `cargo run -p vitalwire-protocol --example
//! fuzz_seeds -- fuzz/corpus`. `fuzz/run` calls it; the layout of an input is described in `fuzz/src/lib.rs`.

#![expect(clippy::unwrap_used, reason = "without its seeds a fuzz run is not worth going on")]

use std::fs;
use std::path::{Path, PathBuf};

use vitalwire_protocol::batch::{
    BatchError, Event, Hello, Refused, Samples, Welcome, encode_ack, encode_batch, encode_configure,
    encode_event, encode_hello, encode_refused, encode_welcome,
};

/// Cut lengths for the inputs that carry a stream, and the 0 that ends them.
const CUTS: &[u8] = &[1, 33, 7, 200, 0];

/// In an input's first byte: the payload is texts to be encrypted.
const TEXTS: u8 = 2;

fn main() {
    let corpus =
        PathBuf::from(std::env::args_os().nth(1).expect("name the folder for the corpora: fuzz/corpus"));
    let file = include_str!("../tests/vectors/aes-cbc-frames.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
    for (number, vector) in vectors.iter().enumerate() {
        let text = |key: &str| vector.get(key).and_then(serde_json::Value::as_str).unwrap();
        let variant = u8::from(text("variant") != "pico_chained_cbc");
        let (json, frame) = (text("json"), text("frame"));
        let stream = frame.repeat(3);
        let texts = [json, "{}", json].join("\n");
        for target in ["frame_decoder", "identify"] {
            seed(&corpus, target, &format!("stream-{number}"), &[&[variant], CUTS, stream.as_bytes()]);
            seed(&corpus, target, &format!("texts-{number}"), &[&[variant | TEXTS], CUTS, texts.as_bytes()]);
        }
        seed(&corpus, "sample_parser", &format!("strings-{number}"), &[json.as_bytes()]);
        let numbers = json.replace(":\"", ": ").replace("\",", " ,").replace("\"}", "}");
        seed(&corpus, "sample_parser", &format!("numbers-{number}"), &[numbers.as_bytes()]);
    }
    batch_seeds(&corpus);
}

/// One message of each kind alone, and all of them in pieces of seven bytes.
fn batch_seeds(corpus: &Path) {
    let hello =
        Hello { boot: 7, profile: "pico", firmware: "1.0.0", time_ms: 4_200, oldest: Some(7), past: true };
    let event = Event { code: 2, text: "DS18B20", time_ms: 12_345 };
    let welcome = Welcome { utc_ms: 1_795_556_251_123, sequence: Some(6) };
    let refused = Refused { code: 3, text: "no channel 9", sequence: Some(7) };
    let wave = [1_802, 1_810, 1_820, 1_829, 1_840];
    let pulse = Samples { index: 2, interval_us: 50_000, delay_us: 0, scale: -3, values: &wave };
    let noise = Samples { index: 5, delay_us: 9, values: &[i32::MIN, i32::MAX, -7, 0], ..pulse };
    let typed = Samples { index: 6, values: &[-128, 127, -128, 90, -70], ..pulse };
    let messages = [
        written(|out| encode_hello(&hello, out)),
        written(|out| encode_batch(7, 10_000, None, &[pulse, noise, typed], out)),
        written(|out| encode_event(&event, out)),
        written(|out| encode_welcome(&welcome, out)),
        written(|out| encode_ack(7, out)),
        written(|out| encode_configure(Some(1_000), &[(2, 4_000), (0, 1_000_000)], out)),
        written(|out| encode_refused(&refused, out)),
        vec![0x82, 9, 0xa1, 1, 0x81, 0xc1, 0xf6],
    ];
    for (number, message) in messages.iter().enumerate() {
        seed(corpus, "batch_decoder", &format!("message-{number}"), &[&[255], message]);
    }
    seed(corpus, "batch_decoder", "stream", &[&[7], &messages.concat()]);
}

fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, BatchError>) -> Vec<u8> {
    let mut out = vec![0; 512];
    let len = write(&mut out).unwrap();
    out.truncate(len);
    out
}

fn seed(corpus: &Path, target: &str, name: &str, parts: &[&[u8]]) {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), parts.concat()).unwrap();
}
