//! Facts about events as text. Random tests print their seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn event(text: &str) -> PatientEvent {
    text.parse::<EventOf>().unwrap().event
}

fn refused(text: &str) -> String {
    text.parse::<EventOf>().unwrap_err().to_string()
}

#[test]
fn says_what_when_for_how_long_and_of_whom() {
    let fever: EventOf = "fever at=20s to=39.5 rise=1m for=0.5h device=2".parse().unwrap();
    let what = Happening::Fever { to_celsius: 39.5, rise_s: 60.0 };
    assert_eq!(fever.event, PatientEvent { what, at_s: 20.0, for_s: Some(1_800.0) });
    assert!(fever.is_of(1) && !fever.is_of(0) && !fever.is_of(2));
    let asystole: EventOf = "asystole at=500ms".parse().unwrap();
    assert_eq!(asystole.event, PatientEvent { what: Happening::Asystole, at_s: 0.5, for_s: None });
    assert!((0..5).all(|place| asystole.is_of(place)));
}

#[test]
fn what_is_not_said_has_a_usual_value() {
    for (short, long) in [
        ("fever", "fever to=39.5 rise=10s at=0s"),
        ("bradycardia", "bradycardia to=35 rise=5s at=0s"),
        ("tachycardia", "tachycardia to=150 rise=5s at=0s"),
        ("premature", "premature every=8"),
        ("hum", "hum hz=50 amplitude=0.2"),
    ] {
        assert_eq!(event(short), event(long));
    }
}

#[test]
fn what_is_wrong_says_what_would_be_right() {
    for (text, part) in [
        ("", "begins with its name, as in `fever at=20s"),
        ("fevr at=20s", "`fevr` is no event; choose one of asystole, bradycardia, fever"),
        ("fever 20s", "fever: `20s` is no setting; write key=value"),
        ("fever at=20", "fever: at=20: want a time with its unit, as in 500ms, 20s, 2m or 1h"),
        ("fever at=-1s", "at=-1s: want a time"),
        ("fever at=1e9s", "at=1e9s: want a time"),
        ("fever at=9000h", "at=9000h: want a time"),
        ("fever at=1s at=2s", "fever: `at` is there twice"),
        ("fever to=hot", "fever: to=hot: want degrees Celsius from 25 to 45"),
        ("fever to=50", "to=50: want degrees Celsius from 25 to 45"),
        ("fever to=NaN", "to=NaN: want"),
        ("fever too=39", "fever: `too` is not known here; it takes to, rise, at, for, device"),
        ("asystole to=3", "asystole: `to` is not known here; it takes at, for, device"),
        ("bradycardia to=90", "want beats a minute from 20 to 60"),
        ("tachycardia to=90", "want beats a minute from 100 to 300"),
        ("premature every=1", "want one of how many beats, 2 to 1000"),
        ("hum hz=55", "want 50 or 60"),
        ("noise", "noise: `snr` is missing: decibels of the wave over the disturbance, as in snr=3"),
        ("motion snr=99", "from -20 to 60"),
        ("fever device=0", "want the number of a device, from 1"),
        ("fever at=s", "at=s: want a time"),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "`{text}`: {error}");
    }
    assert!(refused(&format!("fever at={}s", "0".repeat(1_000))).contains("over 256 bytes"));
}

fn drawn(rng: &mut ChaCha8Rng) -> EventOf {
    let number = |rng: &mut ChaCha8Rng, (low, high): (f64, f64)| rng.random_range(low..high);
    let rise_s = rng.random_range(0.0..100.0);
    let what = match rng.random_range(0..10) {
        0 => Happening::Asystole,
        1 => Happening::Fibrillation,
        2 => Happening::SensorOff,
        3 => Happening::Premature { every: rng.random_range(EVERY_BEATS.0..EVERY_BEATS.1) },
        4 => Happening::Bradycardia { to_per_min: number(rng, SLOW_PER_MIN), rise_s },
        5 => Happening::Tachycardia { to_per_min: number(rng, FAST_PER_MIN), rise_s },
        6 => Happening::Fever { to_celsius: number(rng, BODY_CELSIUS), rise_s },
        7 => Happening::Motion { snr_db: number(rng, SNR_DB) },
        8 => Happening::Noise { snr_db: number(rng, SNR_DB) },
        _ => Happening::Hum { hz: 60.0, amplitude: number(rng, HUM_AMPLITUDE) },
    };
    let for_s = rng.random::<bool>().then(|| rng.random_range(0.0..1e6));
    let device = std::num::NonZeroUsize::new(rng.random_range(0..3));
    EventOf { device, event: PatientEvent { what, at_s: rng.random_range(0.0..1e6), for_s } }
}

#[test]
fn every_event_is_read_back_and_no_cut_or_change_of_its_text_does_harm() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let event = drawn(&mut rng);
        let text = event.to_string();
        assert_eq!(text.parse(), Ok(event), "seed {seed}: {text}");
        for cut in 0..text.len() {
            // A cut text may be an event, of shorter numbers; it is one, or an error that says something.
            if let Err(error) = text[..cut].parse::<EventOf>() {
                assert!(!error.to_string().is_empty(), "seed {seed}, cut at {cut}");
            }
        }
        let mut bytes = text.into_bytes();
        let place = rng.random_range(0..bytes.len());
        bytes[place] = rng.random();
        if let Ok(event) = String::from_utf8_lossy(&bytes).parse::<EventOf>() {
            let again: EventOf = event.to_string().parse().unwrap();
            assert_eq!(again, event, "seed {seed}");
            assert_eq!(event.event, event.event.within_limits(), "seed {seed}: {event} is within its limits");
        }
    }
}

#[test]
fn of_two_of_a_kind_the_later_ends_the_earlier() {
    let fevers = [event("fever at=50s to=40"), event("asystole"), event("fever at=10s for=20s to=38")];
    let spans = spans(&fevers, |what| matches!(what, Happening::Fever { .. }).then_some(()));
    let times: Vec<_> = spans.iter().map(|(span, ())| (span.from_s, span.to_s)).collect();
    assert_eq!(times, [(10.0, 30.0), (50.0, f64::INFINITY)]);
    let endless = [event("fever at=10s to=38"), event("fever at=50s to=40")];
    let spans = super::spans(&endless, |what| matches!(what, Happening::Fever { .. }).then_some(()));
    assert_eq!(spans[0].0.to_s, 50.0);
}
