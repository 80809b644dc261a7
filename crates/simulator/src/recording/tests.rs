//! Facts about recordings.

use super::*;

fn pulse(text: &str, options: &RecordingOptions) -> Result<Recording, RecordingError> {
    Recording::from_csv(text.as_bytes(), options)
}

fn error(text: &str, options: &RecordingOptions) -> String {
    pulse(text, options).unwrap_err().to_string()
}

fn at(recording: &Recording, t: f64) -> f64 {
    recording.value(Channel::PulseSig, t).unwrap()
}

fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn one_column_without_header_is_the_pulse_signal() {
    let recording = pulse("1.0\n2.0\n4.0\n", &RecordingOptions::at_rate(10.0)).unwrap();
    assert_eq!(recording.rows(), 3);
    assert_close(recording.period_s(), 0.3);
    assert_eq!(recording.channels().collect::<Vec<_>>(), [Channel::PulseSig]);
    assert_close(at(&recording, 0.0), 1.0);
    assert_close(at(&recording, 0.05), 1.5);
    assert_close(at(&recording, 0.15), 3.0);
}

#[test]
fn loops_and_joins_its_ends_by_a_straight_line() {
    let recording = pulse("1\n2\n4\n", &RecordingOptions::at_rate(10.0)).unwrap();
    assert_close(at(&recording, 0.25), 2.5);
    assert_close(at(&recording, 0.3 * 1_000.0 + 0.05), 1.5);
    assert_close(at(&recording, -0.05), 2.5);
}

#[test]
fn named_columns_are_played_as_their_channels() {
    let text = "time,Temp,note,PulseSig\n0,36.5,1,1\n1,36.7,1,3\n3,36.7,1,3\n";
    let recording = pulse(text, &RecordingOptions::default()).unwrap();
    assert_eq!(recording.channels().collect::<Vec<_>>(), [Channel::Temp, Channel::PulseSig]);
    assert_close(recording.period_s(), 4.5);
    let mut values = [9.0; 7];
    recording.overlay(0.5, &mut values);
    assert_close(values[Channel::Temp.index()], 36.6);
    assert_close(values[Channel::PulseSig.index()], 2.0);
    assert_close(values[Channel::AccelX.index()], 9.0);
    assert_eq!(recording.value(Channel::AccelX, 0.0), None);
}

#[test]
fn chosen_columns_are_scaled_and_raised() {
    let track = Track { scale: 0.001, offset: 2.0, ..Track::new(Channel::PulseSig, "3".parse().unwrap()) };
    let options = RecordingOptions {
        timing: Some(Timing::Column("t [s]".parse().unwrap())),
        tracks: vec![track],
        delimiter: b';',
    };
    let recording = pulse("\"t [s]\";'I';'II'\r\n5.0;0;-500\r\n\r\n5.5;0;1100\r\n", &options).unwrap();
    assert_close(at(&recording, 0.0), 1.5);
    assert_close(at(&recording, 0.5), 3.1);
}

#[test]
fn one_row_is_a_constant() {
    for options in [RecordingOptions::at_rate(250.0), RecordingOptions::default()] {
        let recording = pulse("time,PulseSig\n7,1.5\n", &options).unwrap();
        assert!([0.0, 0.3, 1e9].iter().all(|t| (at(&recording, *t) - 1.5).abs() < 1e-9));
    }
}

#[test]
fn errors_name_the_line_and_what_to_do() {
    let rate = RecordingOptions::at_rate(10.0);
    let found = RecordingOptions::default();
    let cases = [
        (error("1\n2\n\nx\n", &rate), "line 4, column 1: `x` is not a finite number"),
        (error("1\nNaN\n", &rate), "line 2, column 1: `NaN` is not a finite number"),
        (error("1e999\n", &rate), "line 1, column 1: `1e999` is not a finite number"),
        (
            error("1\n1e12\n", &rate),
            "line 2, column 1: 1000000000000 is beyond ±1000000000; check the column and its scale",
        ),
        (error("", &rate), "the recording holds no row of numbers"),
        (error("PulseSig\n", &rate), "the recording holds no row of numbers"),
        (
            error("time,PulseSig\n0,1\n1\n", &found),
            "line 3 has 1 columns, but column 2 is needed; is the file cut off?",
        ),
        (error("time,PulseSig\n0,1\n0,1\n", &found), "line 3: time 0 s does not come after 0 s"),
        (
            error("1\n", &found),
            "the recording has no column `time` or `time_s`; give its sampling rate or name its time column",
        ),
        (
            error("1,2\n", &rate),
            "cannot tell which of the 2 columns to play; name columns as the channels (PulseSig, Temp, …) or say \
             which to play",
        ),
        (error("1\n", &RecordingOptions::at_rate(0.0)), "a sampling rate of 0 Hz is outside 0..100000"),
    ];
    for (said, expected) in cases {
        assert_eq!(said, expected);
    }
}

#[test]
fn missing_column_is_named_beside_those_there_are() {
    let wants = |column: &str| RecordingOptions {
        tracks: vec![Track::new(Channel::PulseSig, column.parse().unwrap())],
        ..RecordingOptions::at_rate(10.0)
    };
    assert_eq!(error("a,b\n1,2\n", &wants("c")), "the recording has no column `c`; its columns are: a, b");
    assert_eq!(
        error("1,2\n", &wants("3")),
        "the recording has no column number 3; its columns are: 1 to 2 (it has no header)"
    );
    assert!(error("1,2\n", &wants("0")).contains("no column number 0"));
}

#[test]
fn rate_out_of_range_is_refused() {
    for rate_hz in [f64::NAN, f64::INFINITY, -1.0, 100_001.0] {
        assert!(matches!(
            pulse("1\n", &RecordingOptions::at_rate(rate_hz)),
            Err(RecordingError::Rate { .. })
        ));
    }
}

#[test]
fn long_line_is_refused_before_it_is_kept() {
    let endless = io::repeat(b'1');
    let refused = Recording::from_csv(endless, &RecordingOptions::at_rate(10.0));
    assert!(matches!(refused, Err(RecordingError::LineTooLong { line: 1 })));
}

#[test]
fn a_million_lines_are_played() {
    let text: String = (0..1_000_000).map(|i| if i % 2 == 0 { "1.25\n" } else { "1.75\n" }).collect();
    let recording = pulse(&text, &RecordingOptions::at_rate(250.0)).unwrap();
    assert_eq!(recording.rows(), 1_000_000);
    assert_close(at(&recording, 3_999.998), 1.5);
}

#[test]
fn too_many_numbers_are_refused_at_their_line() {
    let endless = || Repeat(b"0,1\n");
    let options = RecordingOptions {
        tracks: vec![
            Track::new(Channel::PulseSig, Column::Number(1)),
            Track::new(Channel::Temp, Column::Number(2)),
        ],
        ..RecordingOptions::at_rate(250.0)
    };
    let refused = csv::read(endless(), &options, 10_000).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the recording has more than 10000 numbers up to line 5001; play fewer columns or cut the file"
    );
}

/// Gives the same bytes for ever.
struct Repeat(&'static [u8]);

impl Read for Repeat {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        // Whole repetitions only, so that the next call starts afresh.
        for piece in buffer.chunks_exact_mut(self.0.len()) {
            piece.copy_from_slice(self.0);
            length += piece.len();
        }
        Ok(length)
    }
}

/// A file cut anywhere is either read up to the cut or refused by a message with a reason; whole rows stay right.
#[test]
fn file_cut_at_every_byte_is_read_or_refused() {
    let text = "\u{feff}time,PulseSig,Temp\r\n0.00,1.25,36.5\r\n0.05,-1.5e-1,36.5\r\n\r\n0.10,2.000,36.6\r\n";
    for cut in 0..=text.len() {
        let piece = &text.as_bytes()[..cut];
        match Recording::from_csv(piece, &RecordingOptions::default()) {
            Ok(recording) => {
                assert!((1..=3).contains(&recording.rows()), "cut at {cut}");
                assert_close(at(&recording, 0.0), 1.25);
            }
            Err(
                RecordingError::Empty
                | RecordingError::NoTiming
                | RecordingError::NoTracks { .. }
                | RecordingError::ShortRow { .. }
                | RecordingError::TimeNotRising { .. }
                | RecordingError::NotANumber { .. },
            ) => {}
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    let whole = Recording::from_csv(text.as_bytes(), &RecordingOptions::default()).unwrap();
    assert_eq!(whole.rows(), 3);
}
