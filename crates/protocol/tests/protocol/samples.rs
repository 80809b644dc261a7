//! The sample parser takes what devices send, in any spelling of it, and nothing else.

use proptest::prelude::*;
use vitalwire_protocol::{Channel, JSON_LEN_MAX, Sample, SampleError, VALUE_LEN_MAX, write_sample_json};

use crate::vectors::vectors;

const REAL: &str = r#"{"Temp":"36.600","TempMcu":"23.700","PulseSig":"1.802","Acel_x":"0.000","Acel_y":"-0.12","Acel_z":"0.980","TempMpu":"23.400"}"#;
const TEXTS: [&str; 7] = ["36.600", "23.700", "1.802", "0.000", "-0.12", "0.980", "23.400"];

fn texts<'a>(sample: &Sample<'a>) -> [&'a str; 7] {
    Channel::ALL.map(|channel| sample.value(channel).text)
}

fn refusal(json: impl AsRef<[u8]>) -> SampleError {
    match Sample::parse(json.as_ref()) {
        Ok(_) => panic!("accepted {}", String::from_utf8_lossy(json.as_ref())),
        Err(error) => error,
    }
}

/// The real text with the value of PulseSig, quotes included, replaced.
fn with_pulse(value: &str) -> String {
    REAL.replace("\"1.802\"", value)
}

#[test]
fn every_value_keeps_its_text_and_its_number() {
    let sample = Sample::parse(REAL.as_bytes()).unwrap();
    assert_eq!(texts(&sample), TEXTS);
    assert_eq!(Channel::ALL.map(|c| sample.value(c).number), [36.6, 23.7, 1.802, 0.0, -0.12, 0.98, 23.4]);
}

#[test]
fn numbers_and_strings_are_taken_in_any_mixture() {
    let bare = REAL.replace(":\"", ":").replace("\",", ",").replace("\"}", "}");
    assert_eq!(texts(&Sample::parse(bare.as_bytes()).unwrap()), TEXTS);
    let mixed = with_pulse("1.802");
    assert_eq!(texts(&Sample::parse(mixed.as_bytes()).unwrap()), TEXTS);
    let exponent = with_pulse("-1.5E+2");
    assert_eq!(Sample::parse(exponent.as_bytes()).unwrap().value(Channel::PulseSig).number, -150.0);
}

#[test]
fn whitespace_is_taken_wherever_json_allows_it_and_nowhere_else() {
    let airy =
        REAL.replace('{', " \t\r\n{ ").replace(':', " :\n").replace(',', "\t,\r\n").replace('}', " } \n");
    assert_eq!(texts(&Sample::parse(airy.as_bytes()).unwrap()), TEXTS);
    assert_eq!(refusal(with_pulse("\" 1.8\"")), SampleError::NotANumber { channel: Channel::PulseSig });
    assert_eq!(refusal(with_pulse("\"1.8 \"")), SampleError::NotANumber { channel: Channel::PulseSig });
    assert!(matches!(refusal(REAL.replace(':', "\u{b}:")), SampleError::Unexpected { at: 7, .. }));
}

#[test]
fn values_that_are_no_decimals_are_refused() {
    let words = [
        "",
        "NaN",
        "nan",
        "Infinity",
        "inf",
        "-inf",
        "6.6.6.6&66",
        "+1",
        "01",
        ".5",
        "1.",
        "0x1f",
        "1,5",
        "--1",
        "1e",
        "true",
    ];
    for word in words {
        let not_a_number = SampleError::NotANumber { channel: Channel::PulseSig };
        assert_eq!(refusal(with_pulse(&format!("\"{word}\""))), not_a_number, "{word:?}");
    }
    for bare in
        ["NaN", "nan", "Infinity", "-Infinity", "null", "true", "[1]", "{\"a\":1}", "6.6.6.6&66", "'1'", ""]
    {
        refusal(with_pulse(bare));
    }
}

#[test]
fn numbers_beyond_f64_are_refused_as_string_and_bare() {
    for value in ["\"1e999\"", "1e999", "\"-1e999\"", "-1e999", "\"1e308000\""] {
        assert_eq!(refusal(with_pulse(value)), SampleError::NotFinite { channel: Channel::PulseSig });
    }
    assert!(Sample::parse(with_pulse("\"1.7e308\"").as_bytes()).is_ok());
    assert_eq!(Sample::parse(with_pulse("1e-999").as_bytes()).unwrap().value(Channel::PulseSig).number, 0.0);
}

#[test]
fn a_value_of_24_characters_is_taken_and_one_of_25_is_not() {
    for (open, close) in [("", ""), ("\"", "\"")] {
        let fits = format!("{open}1.{}{close}", "0".repeat(VALUE_LEN_MAX - 2));
        assert!(Sample::parse(with_pulse(&fits).as_bytes()).is_ok());
        let long = format!("{open}1.{}{close}", "0".repeat(VALUE_LEN_MAX - 1));
        assert_eq!(
            refusal(with_pulse(&long)),
            SampleError::ValueTooLong { channel: Channel::PulseSig, len: 25 }
        );
    }
}

#[test]
fn each_missing_key_is_named() {
    for (channel, text) in Channel::ALL.into_iter().zip(TEXTS) {
        let member = format!("\"{channel}\":\"{text}\"");
        let json = REAL.replace(&format!("{member},"), "").replace(&format!(",{member}"), "");
        assert_ne!(json, REAL);
        assert_eq!(refusal(json), SampleError::MissingKey { channel });
    }
    assert_eq!(refusal("{}"), SampleError::MissingKey { channel: Channel::Temp });
}

#[test]
fn each_doubled_key_is_named_even_with_the_same_value() {
    for (channel, text) in Channel::ALL.into_iter().zip(TEXTS) {
        let json = REAL.replace('}', &format!(",\"{channel}\":\"{text}\"}}"));
        assert_eq!(refusal(json), SampleError::DoubledKey { channel });
    }
}

#[test]
fn unknown_keys_are_refused_where_they_stand() {
    for key in ["temp", "TEMP", "Accel_x", "Temp ", " Temp", "", "Ip_address", "Pico/x/+/#"] {
        let json = REAL.replacen("\"Temp\"", &format!("\"{key}\""), 1);
        assert_eq!(refusal(json), SampleError::UnknownKey { at: 1 }, "{key:?}");
    }
    assert_eq!(refusal(REAL.replace('}', ",\"x\":1}")), SampleError::UnknownKey { at: REAL.len() });
}

#[test]
fn escapes_control_characters_and_other_alphabets_are_refused() {
    let escaped_key = REAL.replacen("\"Temp\"", "\"T\\u0065mp\"", 1);
    assert_eq!(refusal(escaped_key), SampleError::NotPlain { at: 3 });
    let start = REAL.find("1.802").unwrap();
    for value in ["\\u0031", "\\n", "1.8\\\"", "\n", "\u{0}", "\u{7f}", "é", "１", "٣", "−1"] {
        let json = with_pulse(&format!("\"{value}\""));
        let at = start + if value.starts_with("1.8") { 3 } else { 0 };
        assert_eq!(refusal(json), SampleError::NotPlain { at }, "{value:?}");
    }
    refusal(b"\xef\xbb\xbf{}"); // byte order mark
    refusal(b"{\"\xff\":1}");
}

#[test]
fn a_text_cut_at_any_byte_is_refused() {
    for vector in vectors() {
        for len in 0..vector.json.len() {
            assert!(matches!(refusal(&vector.json[..len]), SampleError::EndsEarly { at, .. } if at == len));
        }
    }
}

#[test]
fn nothing_may_follow_the_object() {
    for tail in ["}", "&", "{}", ",", "0", "\u{0}", "\"", "é"] {
        assert_eq!(refusal(format!("{REAL}{tail}")), SampleError::TrailingBytes { at: REAL.len() });
    }
    assert_eq!(refusal(format!("{REAL}{REAL}")), SampleError::TrailingBytes { at: REAL.len() });
}

#[test]
fn what_is_no_flat_object_is_refused() {
    for json in [
        "",
        " ",
        "null",
        "1",
        "\"x\"",
        "[]",
        "{",
        "{,",
        "{\"Temp\"}",
        "{\"Temp\":1,}",
        "{\"Temp\" 1}",
        "{Temp:1}",
        "{'Temp':1}",
    ] {
        refusal(json);
    }
    refusal(REAL.replace('}', ",}"));
    refusal(REAL.replace("\",\"", "\"\""));
    refusal("{\"Temp\":".repeat(120));
    refusal("[".repeat(1000));
}

#[test]
fn a_megabyte_of_json_is_refused_by_its_length() {
    let megabyte = format!("{}{}", REAL, " ".repeat(1 << 20));
    assert_eq!(refusal(&megabyte), SampleError::TooLong { len: megabyte.len() });
    let limit = &megabyte[..JSON_LEN_MAX];
    assert!(Sample::parse(limit.as_bytes()).is_ok());
    assert_eq!(refusal(&megabyte[..=JSON_LEN_MAX]), SampleError::TooLong { len: JSON_LEN_MAX + 1 });
}

#[test]
fn errors_name_the_channel_and_never_the_value() {
    let error = refusal(with_pulse("\"98.7bad\""));
    assert_eq!(error.to_string(), "value of PulseSig is not a decimal number");
    assert_eq!(error.label(), "not_a_number");
}

#[test]
fn a_sample_is_written_as_the_papers_devices_write_it() {
    let mut out = [0; JSON_LEN_MAX];
    let len = write_sample_json(&[36.6, 23.7, 1.873, 0.0, 0.0, 0.0, 23.4], &mut out).unwrap();
    let expected = vectors().into_iter().find(|v| v.json.contains("1.873") && v.json.len() == 125).unwrap();
    assert_eq!(&out[..len], expected.json.as_bytes());
    for available in 0..len {
        let short = write_sample_json(&[36.6, 23.7, 1.873, 0.0, 0.0, 0.0, 23.4], &mut vec![0; available]);
        assert_eq!(short, Err(SampleError::OutputTooSmall { available }));
    }
}

#[test]
fn values_that_a_reader_would_refuse_are_not_written() {
    let mut out = [0; JSON_LEN_MAX];
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let written = write_sample_json(&[36.6, 23.7, value, 0.0, 0.0, 0.0, 23.4], &mut out);
        assert_eq!(written, Err(SampleError::NotFinite { channel: Channel::PulseSig }));
    }
    let written = write_sample_json(&[36.6, 23.7, 0.0, 0.0, 0.0, 0.0, 1e300], &mut out);
    assert_eq!(written, Err(SampleError::ValueTooLong { channel: Channel::TempMpu, len: 25 }));
    assert!(write_sample_json(&[1e19, 1e18, -1e18, 0.0, 0.0, 0.0, 0.0], &mut out).is_ok());
}

/// A decimal in JSON's grammar of at most 24 characters.
const DECIMAL: &str = "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?";

proptest! {
    #[test]
    fn any_order_spelling_and_whitespace_give_the_same_values(
        members in prop::collection::vec((DECIMAL, any::<bool>(), "[ \t\r\n]{0,2}"), 7)
            .prop_map(|members| Channel::ALL.into_iter().zip(members).collect::<Vec<_>>()),
        order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let written: Vec<String> = order
            .iter()
            .map(|index| {
                let (channel, (text, quoted, space)) = &members[*index];
                let quote = if *quoted { "\"" } else { "" };
                format!("{space}\"{channel}\"{space}:{space}{quote}{text}{quote}{space}")
            })
            .collect();
        let json = format!("{{{}}}", written.join(","));
        let sample = Sample::parse(json.as_bytes()).unwrap();
        for (channel, (text, ..)) in &members {
            prop_assert_eq!(sample.value(*channel).text, text);
            prop_assert_eq!(sample.value(*channel).number, text.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn what_is_written_reads_back_to_three_decimals(values in prop::array::uniform7(-1e9..1e9f64)) {
        let mut out = [0; JSON_LEN_MAX];
        let len = write_sample_json(&values, &mut out).unwrap();
        let sample = Sample::parse(&out[..len]).unwrap();
        for (channel, value) in Channel::ALL.into_iter().zip(values) {
            prop_assert!((sample.value(channel).number - value).abs() <= 0.000_500_1);
        }
    }

    #[test]
    fn one_wrong_byte_never_panics_and_never_adds_a_channel(at in 0..REAL.len(), byte: u8) {
        let mut json = REAL.as_bytes().to_vec();
        json[at] = byte;
        if let Ok(sample) = Sample::parse(&json) {
            let changed = texts(&sample).iter().zip(TEXTS).filter(|(now, then)| *now != then).count();
            prop_assert!(changed <= 1);
        }
    }
}
