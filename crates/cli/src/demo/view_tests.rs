//! Facts about the live view, drawn on a screen in memory.

use std::time::Instant;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use vitalwire_protocol::Channel;

use super::super::tally::Message;
use super::super::topic::Kind;
use super::*;

fn tally(devices: usize) -> Mutex<Tally> {
    let ids = (1..=devices).map(|number| (format!("patient_{number:02}"), "TLS 1.3"));
    let mut tally = Tally::new(ids, 20.0, true);
    let message = |kind, payload| Message {
        kind,
        payload,
        arrived: Instant::now(),
        sequence: Some(7),
        delay: Some(Duration::from_millis(2)),
    };
    for device in 0..devices {
        for channel in Channel::ALL {
            tally.record(device, &message(Kind::Value(channel), b"36.600"));
        }
        tally.record(device, &message(Kind::Reading, b"{}"));
    }
    Mutex::new(tally)
}

fn drawn(tally: &Mutex<Tally>, width: u16, height: u16, looking: &mut Looking) -> String {
    let scene = Scene {
        title: "demo".into(),
        addresses: "devices 127.0.0.1:9998".into(),
        command: "mosquitto_sub -h 127.0.0.1 -p 1883 -u demo -P secret -t 'Pico/#' -v".into(),
        tally,
        sent: &|| 12_345,
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &scene, looking)).unwrap();
    terminal.backend().to_string()
}

fn looking() -> Looking {
    Looking { selected: 0, first: 0, started: Instant::now(), sent_before: VecDeque::new() }
}

#[test]
fn shows_devices_topics_totals_and_the_command_to_copy() {
    let shown = drawn(&tally(5), 140, 42, &mut looking());
    for part in [
        "patient_01",
        "patient_05",
        "TLS 1.3",
        "36.600",
        "Accelerometer/x",
        "sequence 7",
        "sent 12 345",
        "delivered 5",
        "mosquitto_sub -h 127.0.0.1 -p 1883 -u demo -P secret -t 'Pico/#' -v",
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}

#[test]
fn small_and_tiny_terminals_do_not_fail() {
    let tally = tally(5);
    for (width, height) in [(80, 24), (60, 12), (20, 5), (1, 1)] {
        drawn(&tally, width, height, &mut looking());
    }
}

#[test]
fn list_scrolls_to_the_selection() {
    let tally = tally(50);
    let mut looking = looking();
    looking.turn(KeyCode::End);
    let shown = drawn(&tally, 140, 42, &mut looking);
    assert!(shown.contains("patient_50") && !shown.contains("patient_01 "), "{shown}");
    looking.turn(KeyCode::Home);
    assert!(drawn(&tally, 140, 42, &mut looking).contains("patient_01"));
}

#[test]
fn readings_are_lost_only_after_two_seconds() {
    let mut looking = looking();
    assert_eq!(looking.due(100), 0);
    looking.sent_before.clear();
    looking.sent_before.push_back((Instant::now() - LOST_AFTER, 40));
    assert_eq!(looking.due(100), 40);
}

/// What a shell makes of lines that were copied.
fn pasted(lines: &[String]) -> String {
    lines.join("\n").replace("\\\n", "")
}

#[test]
fn long_command_is_broken_between_words_and_can_be_pasted_as_shown() {
    let command = "mosquitto_sub -h 127.0.0.1 -p 1883 -u demo -P abcde-fghij-kmnpq-rstuv -t 'Pico/#' -v";
    for width in [40, 60, 80, 87, 88, 89, 120] {
        let lines = shell_lines(command, width);
        assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("'Pico/#'")), "not broken within: {lines:#?}");
        assert_eq!(pasted(&lines), command);
    }
    let shown = drawn(&tally(5), 60, 30, &mut looking());
    assert!(shown.contains("mosquitto_sub -h 127.0.0.1 -p 1883 -u demo -P secret -t \\"), "{shown}");
    assert!(shown.contains("'Pico/#' -v"), "{shown}");
}

#[test]
fn on_80_columns_and_24_lines_every_value_of_the_list_is_whole() {
    let shown = drawn(&tally(5), 80, 24, &mut looking());
    for part in ["patient_01", "patient_05", "36.600 °C", "/min", "sent 12 345", "delivered 5", "q stop"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    assert!(shown.contains("not a medical device"), "{shown}");
}
