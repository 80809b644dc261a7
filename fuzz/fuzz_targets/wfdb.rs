//! WFDB records: a header is parsed or refused, and what is read of samples and annotations is what the bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_signals::wfdb::{Header, SIGNALS_MAX, annotations};

fuzz_target!(|data: &[u8]| {
    // A header up to the first zero, then samples and annotations.
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, bytes) = data.split_at(end);
    let bytes = bytes.get(1..).unwrap_or_default();
    if let Ok(annotations) = annotations(bytes) {
        assert!(annotations.len() <= bytes.len() / 2);
        assert!(annotations.iter().all(|annotation| annotation.code != 0));
    }
    let Ok(header) = Header::parse(&String::from_utf8_lossy(text)) else { return };
    assert!(header.rate_hz > 0.0 && header.signals.len() <= SIGNALS_MAX);
    for (number, signal) in header.signals.iter().enumerate() {
        assert!(!signal.file.contains('/') && signal.gain > 0.0);
        if let Ok(samples) = header.samples(number, bytes) {
            assert!(samples.len() <= bytes.len());
            assert!(header.len.is_none_or(|len| samples.len() as u64 == len));
        }
    }
});
