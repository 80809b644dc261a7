//! Writes the seed corpora of the fuzz targets from the recorded frames: `cargo run -p vitalwire-protocol --example
//! fuzz_seeds -- fuzz/corpus`. `fuzz/run` calls it; the layout of an input is described in `fuzz/src/lib.rs`.

#![expect(clippy::unwrap_used, reason = "without its seeds a fuzz run is not worth going on")]

use std::fs;
use std::path::{Path, PathBuf};

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
}

fn seed(corpus: &Path, target: &str, name: &str, parts: &[&[u8]]) {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), parts.concat()).unwrap();
}
