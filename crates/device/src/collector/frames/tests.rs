extern crate std;
use std::format;

use vitalwire_protocol::write_sample_json;

use super::*;

fn text(milli: [Option<i32>; 7]) -> std::string::String {
    let mut out = [0; SAMPLE_LEN_MAX];
    let len = write_sample(&Sample { milli }, &mut out).unwrap();
    std::str::from_utf8(&out[..len]).unwrap().into()
}

#[test]
fn writes_what_the_protocols_writer_writes() {
    let values =
        [0, 1, -1, 9, 10, 99, -999, 1_000, -1_000, 36_625, -120, 980, 3_299, -127_000, 85_000, 123_456];
    for value in values {
        let milli = [value, -value, value / 2, 0, value / 7, -value / 3, value * 2];
        let mut out = [0; 1_024];
        let len = write_sample_json(&milli.map(|milli| f64::from(milli) / 1_000.0), &mut out).unwrap();
        // A float knows a negative zero, integers do not.
        let expected = std::str::from_utf8(&out[..len]).unwrap().replace("\"-0.000\"", "\"0.000\"");
        assert_eq!(text(milli.map(Some)), expected);
    }
}

#[test]
fn a_value_that_was_not_measured_is_out_of_every_range() {
    let expected = "{\"Temp\":\"-127.000\",\"TempMcu\":\"27.138\",\"PulseSig\":\"1.801\",\"Acel_x\":\"0.000\",\
        \"Acel_y\":\"-0.120\",\"Acel_z\":\"0.980\",\"TempMpu\":\"-127.000\"}";
    assert_eq!(text([None, Some(27_138), Some(1_801), Some(0), Some(-120), Some(980), None]), expected);
}

#[test]
fn the_longest_sample_fits_and_becomes_a_frame() {
    for extreme in [i32::MIN, i32::MAX] {
        let written = text([Some(extreme); 7]);
        let number = format!("\"{:.3}\"", f64::from(extreme) / 1_000.0);
        assert_eq!(written.matches(&number).count(), 7);
        let encoder = FrameEncoder::new(&CbcSecret::new([1; 16], [2; 16]), Variant::Chained);
        let mut buffer = [0; MESSAGE_LEN];
        let sample = Sample { milli: [Some(extreme); 7] };
        assert_eq!(encode(&sample, &encoder, &mut buffer).unwrap().len() % 33, 32);
        assert_eq!(write_sample(&sample, &mut [0; 100]), None);
    }
}
