//! Profiles: no text panics, and what is accepted keeps every rule that the rest of Vitalwire relies on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_profile::{CHANNELS_MAX, Profile};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let profile = match Profile::parse(text) {
        Ok(profile) => profile,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let channels = profile.channels();
    assert!((1..=CHANNELS_MAX).contains(&channels.len()));
    assert!(channels.windows(2).all(|pair| pair[0].index < pair[1].index));
    for channel in channels {
        assert!(usize::from(channel.index) < CHANNELS_MAX);
        for path in std::iter::once(&channel.name).chain(&channel.topic) {
            assert!(!path.contains(['+', '#', '$', '\0', ' ']));
            assert!(path.split('/').all(|level| !level.is_empty()));
        }
        assert!(!channel.unit.is_empty() && channel.minimum < channel.maximum);
        assert!((2_000..=3_600_000_000).contains(&channel.interval_us()));
        assert_eq!(channels.iter().filter(|other| other.name == channel.name).count(), 1);
    }
});
