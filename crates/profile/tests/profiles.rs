//! The profiles in this folder are good, and each rule is said with its line.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected must fail"
)]

use proptest::prelude::*;
use vitalwire_profile::{CHANNELS_MAX, DERIVED, PROFILE_TEXT_LEN_MAX, Profile, ProfileError, Wave};
use vitalwire_protocol::Channel;

const PICO: &str = include_str!("../profiles/pico.toml");
const SPO2_CLIP: &str = include_str!("../profiles/spo2-clip.toml");
const LOCATION_TRACKER: &str = include_str!("../profiles/location-tracker.toml");

/// A profile of one channel; the channel's fields begin in line 5.
const SMALL: &str = r#"name = "small"
title = "Smallest"

[[channel]]
index = 0
name = "Level"
title = "Level"
topic = "Levels/Level"
unit = "m"
range = [0, 10]
rate_hz = 1
decimals = 2
loinc = "8310-5"
mdc = 150364
"#;

fn refusal(text: &str) -> ProfileError {
    match Profile::parse(text) {
        Err(error) => error,
        Ok(profile) => panic!("accepted {profile:?}"),
    }
}

/// The refusal when one line of [`SMALL`] says something else.
fn with(line: &str, instead: &str) -> ProfileError {
    assert!(SMALL.contains(line));
    refusal(&SMALL.replacen(line, instead, 1))
}

fn field_of(error: &ProfileError) -> (usize, &'static str) {
    match error {
        ProfileError::Field { line, field, .. } => (*line, field),
        other => panic!("{other}"),
    }
}

#[test]
fn every_builtin_profile_is_found_by_its_name() {
    for name in Profile::builtin_names() {
        assert_eq!(Profile::builtin(name).unwrap().name(), name);
    }
    assert_eq!(Profile::builtin("nano"), None);
}

#[test]
fn pico_has_the_papers_channels_topics_and_order() {
    let pico = Profile::builtin("pico").unwrap();
    let topics: Vec<_> = pico.channels().iter().map(|channel| channel.topic.as_deref().unwrap()).collect();
    assert_eq!(
        topics,
        [
            "Physiological_Data/Temperature",
            "Internal_Device_Data/Temperature/MCU",
            "Physiological_Data/Pulse_Signal",
            "Physiological_Data/Accelerometer/x",
            "Physiological_Data/Accelerometer/y",
            "Physiological_Data/Accelerometer/z",
            "Internal_Device_Data/Temperature/MPU",
        ]
    );
    // A channel of the paper's frames stands at the same index.
    assert_eq!(pico.channels().len(), Channel::ALL.len());
    let pulse = pico.channel(u8::try_from(Channel::PulseSig.index()).unwrap()).unwrap();
    assert_eq!((pulse.name.as_str(), pulse.waveform, pulse.interval_us()), ("Pulse_Signal", true, 50_000));
    let temperature = pico.channel_named("Temperature").unwrap();
    assert_eq!((temperature.loinc.as_deref(), temperature.mdc), (Some("8310-5"), Some(150_364)));
    assert!(temperature.plausible(36.6) && !temperature.plausible(85.0) && !temperature.plausible(f64::NAN));
}

#[test]
fn beats_are_found_in_one_channel_and_which_way_stands_in_the_profile() {
    let wave = |name| {
        let profile = Profile::builtin(name).unwrap();
        profile.wave_channel().map(|(channel, wave)| (channel.name.clone(), channel.unit.clone(), wave))
    };
    assert_eq!(wave("pico"), Some(("Pulse_Signal".into(), "V".into(), Wave::Ppg)));
    assert_eq!(wave("ecg"), Some(("Pulse_Signal".into(), "mV".into(), Wave::Ecg)));
    assert_eq!(wave(DERIVED), None);
    let channel = |name: &str| SPO2_CLIP.split("[[channel]]").find(|text| text.contains(name)).unwrap();
    let second = channel("Plethysmogram").replace("index = 2", "index = 3").replace("Plethysmogram", "Other");
    let error = refusal(&format!("{SPO2_CLIP}[[channel]]{second}"));
    assert_eq!(field_of(&error).1, "wave", "{error}");
}

#[test]
fn an_ecg_has_the_channels_of_pico_at_their_places_and_no_topic_beyond_the_papers() {
    let [pico, ecg] = ["pico", "ecg"].map(|name| Profile::builtin(name).unwrap());
    let places = |profile: &Profile| {
        let place = |channel: &vitalwire_profile::ChannelProfile| {
            (channel.index, channel.name.clone(), channel.topic.clone())
        };
        profile.channels().iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(places(&pico), places(&ecg));
    let derived = Profile::builtin(DERIVED).unwrap();
    assert!(derived.channels().iter().all(|channel| channel.topic.is_none() && !channel.waveform));
}

#[test]
fn other_kinds_of_device_need_a_profile_and_no_code() {
    let clip = Profile::parse(SPO2_CLIP).unwrap();
    assert_eq!(clip.channel_named("Plethysmogram").unwrap().interval_us(), 10_000);
    assert!(clip.channels().iter().all(|channel| channel.topic.is_none()));
    let tracker = Profile::parse(LOCATION_TRACKER).unwrap();
    assert_eq!(tracker.channel(1).unwrap().interval_us(), 10_000_000);
    assert_eq!(tracker.channel(3).unwrap().interval_us(), 100_000_000);
    assert_eq!(tracker.channel(4), None);
}

#[test]
fn channels_come_in_the_order_of_their_indexes() {
    let second = SMALL
        .split_once("[[channel]]")
        .unwrap()
        .1
        .replace("Level", "Other")
        .replace("index = 0", "index = 3");
    let first = SMALL.replace("index = 0", "index = 7");
    let profile = Profile::parse(&format!("{first}[[channel]]{second}")).unwrap();
    assert_eq!(profile.channels().iter().map(|channel| channel.index).collect::<Vec<_>>(), [3, 7]);
}

#[test]
fn a_broken_rule_is_said_with_its_line() {
    Profile::parse(SMALL).unwrap();
    for (line, instead, expected) in [
        ("name = \"small\"", "name = \"\"", (1, "name")),
        ("name = \"small\"", "name = \"a/b\"", (1, "name")),
        ("title = \"Smallest\"", "title = \" \"", (2, "title")),
        ("index = 0", "index = 32", (5, "index")),
        ("name = \"Level\"", "name = \"Le vel\"", (6, "name")),
        ("title = \"Level\"", "title = \"a\\nb\"", (7, "title")),
        ("\"Levels/Level\"", "\"Levels/#\"", (8, "topic")),
        ("\"Levels/Level\"", "\"+\"", (8, "topic")),
        ("\"Levels/Level\"", "\"$SYS/Level\"", (8, "topic")),
        ("\"Levels/Level\"", "\"\"", (8, "topic")),
        ("\"Levels/Level\"", "\"Ip_address\"", (8, "topic")),
        ("unit = \"m\"", "unit = \"\"", (9, "unit")),
        ("unit = \"m\"", "unit = \"°C\"", (9, "unit")),
        ("[0, 10]", "[10, 0]", (10, "range")),
        ("[0, 10]", "[0, 10, 20]", (10, "range")),
        ("[0, 10]", "[]", (10, "range")),
        ("[0, 10]", "[1, 1]", (10, "range")),
        ("[0, 10]", "[0, inf]", (10, "range")),
        ("[0, 10]", "[nan, 1]", (10, "range")),
        ("[0, 10]", "[0, 21474837]", (10, "range")),
        ("rate_hz = 1", "rate_hz = 501", (11, "rate_hz")),
        ("rate_hz = 1", "rate_hz = 0", (11, "rate_hz")),
        ("rate_hz = 1", "rate_hz = nan", (11, "rate_hz")),
        ("decimals = 2", "decimals = 10", (12, "decimals")),
        ("\"8310-5\"", "\"8310-6\"", (13, "loinc")),
        ("mdc = 150364", "mdc = 7", (14, "mdc")),
        ("mdc = 150364", "wave = \"eeg\"", (14, "wave")),
        ("mdc = 150364", "wave = \"ppg\"", (14, "wave")),
        ("mdc = 150364", "wave = \"ppg\"\nwaveform = true", (14, "wave")),
    ] {
        let error = with(line, instead);
        assert_eq!(field_of(&error), expected, "{error}");
        assert!(
            error.to_string().starts_with(&format!("line {} of the profile: `{}` ", expected.0, expected.1))
        );
    }
}

#[test]
fn unknown_and_missing_fields_are_said_with_their_line() {
    for (line, instead, at, says) in [
        ("unit = \"m\"", "units = \"m\"", 9, "units"),
        ("title = \"Smallest\"", "colour = 1", 2, "colour"),
        ("unit = \"m\"\n", "", 4, "unit"),
        ("decimals = 2", "decimals = -1", 12, "-1"),
        ("rate_hz = 1", "rate_hz = \"1\"", 11, "string"),
        ("index = 0", "index = 0\nindex = 1", 6, "duplicate"),
        ("[[channel]]", "[[channel", 4, ""),
    ] {
        match with(line, instead) {
            ProfileError::Syntax { line, message } => {
                assert_eq!(line, at, "{message}");
                assert!(message.contains(says), "{message}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn channels_are_told_apart_by_index_name_and_topic() {
    let second = SMALL.split_once("[[channel]]").unwrap().1;
    let twice = |second: &str| refusal(&format!("{SMALL}[[channel]]{second}"));
    let duplicate = |line, field, other_line| ProfileError::Duplicate { line, field, other_line };
    assert_eq!(twice(second), duplicate(16, "index", 5));
    let second = second.replace("index = 0", "index = 1");
    assert_eq!(twice(&second), duplicate(17, "name", 6));
    let second = second.replace("name = \"Level\"", "name = \"Other\"");
    assert_eq!(twice(&second), duplicate(19, "topic", 8));
}

#[test]
fn counts_and_lengths_have_limits() {
    let head = "name = \"a\"\ntitle = \"b\"\n";
    assert_eq!(refusal(head), ProfileError::ChannelCount { count: 0 });
    let channel = SMALL.split_once("[[channel]]").unwrap().1;
    let channels = |count: usize| {
        let channel = |n: usize| {
            let named =
                channel.replace("index = 0", &format!("index = {n}")).replace("Level", &format!("L{n}"));
            format!("[[channel]]{named}")
        };
        format!("{head}{}", (0..count).map(channel).collect::<String>())
    };
    assert_eq!(Profile::parse(&channels(CHANNELS_MAX)).unwrap().channels().len(), CHANNELS_MAX);
    assert_eq!(refusal(&channels(CHANNELS_MAX + 1)), ProfileError::ChannelCount { count: CHANNELS_MAX + 1 });
    let long = format!("{SMALL}#{}", "x".repeat(PROFILE_TEXT_LEN_MAX));
    assert_eq!(refusal(&long), ProfileError::TooLong { len: long.len() });
}

proptest! {
    #[test]
    fn a_damaged_profile_never_panics(at in 0..PICO.len(), with in any::<char>(), cut in any::<bool>()) {
        let mut text = PICO.to_owned();
        if cut {
            text.truncate(at);
        } else {
            text.replace_range(at..=at, with.encode_utf8(&mut [0; 4]));
        }
        if let Err(error) = Profile::parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
