//! Samples: what is accepted is JSON to serde_json too, with the same values, and means the same in another order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_protocol::{Channel, JSON_LEN_MAX, Sample, VALUE_LEN_MAX, write_sample_json};

fuzz_target!(|data: &[u8]| {
    let Ok(sample) = Sample::parse(data) else { return };
    assert!(data.len() <= JSON_LEN_MAX);
    agrees_with_serde_json(data, &sample);
    for quote in ["\"", ""] {
        reads_the_same(&sample, Channel::ALL, quote);
        let mut reversed = Channel::ALL;
        reversed.reverse();
        reads_the_same(&sample, reversed, quote);
    }
    written_reads_back(&sample);
});

fn agrees_with_serde_json(data: &[u8], sample: &Sample<'_>) {
    let json: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(data).expect("a sample is JSON");
    assert_eq!(json.len(), Channel::ALL.len());
    for channel in Channel::ALL {
        let value = sample.value(channel);
        assert!(value.number.is_finite() && value.text.len() <= VALUE_LEN_MAX);
        match &json[channel.json_key()] {
            serde_json::Value::String(text) => assert_eq!(text, value.text),
            number => assert_eq!(number.as_f64(), Some(value.number), "{}", value.text),
        }
    }
}

/// Writes the sample's texts again in this order and compares what is read.
fn reads_the_same(sample: &Sample<'_>, order: [Channel; 7], quote: &str) {
    let members = order.map(|channel| format!("\"{channel}\":{quote}{}{quote}", sample.value(channel).text));
    let json = format!("{{{}}}", members.join(","));
    let again = Sample::parse(json.as_bytes()).expect("the same values, written again, are a sample");
    assert!(again == *sample);
}

/// If the sample's numbers can be written in three decimals, they read back so.
fn written_reads_back(sample: &Sample<'_>) {
    let numbers = Channel::ALL.map(|channel| sample.value(channel).number);
    let mut out = [0; JSON_LEN_MAX];
    let Ok(len) = write_sample_json(&numbers, &mut out) else { return };
    let again = Sample::parse(&out[..len]).expect("what is written is read");
    for (channel, number) in Channel::ALL.into_iter().zip(numbers) {
        let error = (again.value(channel).number - number).abs();
        assert!(error <= 0.000_5 + number.abs() * f64::EPSILON, "{channel} is off by {error}");
    }
}
