//! Facts about the live view, drawn on a screen in memory.

use std::time::Instant;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use vitalwire_protocol::Channel;

use super::super::findings::tests::{DERIVED, FEVER};
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
    backend(tally, width, height, looking).to_string()
}

fn screen(tally: &Mutex<Tally>, width: u16, height: u16, looking: &mut Looking) -> Buffer {
    backend(tally, width, height, looking).buffer().clone()
}

fn backend(tally: &Mutex<Tally>, width: u16, height: u16, looking: &mut Looking) -> TestBackend {
    let scene = Scene {
        title: "demo".into(),
        link: "http://127.0.0.1:8080/#link=4dUpgJuemfNe3AzHxWMC1XG87m6OdeWZ-ae0BULgmC4".into(),
        addresses: "devices 127.0.0.1:9998".into(),
        command: "mosquitto_sub -h 127.0.0.1 -p 1883 -u demo -P secret -t 'Pico/#' -v".into(),
        tally,
        sent: &|| 12_345,
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &scene, looking)).unwrap();
    terminal.backend().clone()
}

fn looking() -> Looking {
    Looking { selected: 0, first: 0, started: Instant::now(), sent_before: VecDeque::new() }
}

#[test]
fn the_link_to_the_dashboard_is_whole_in_a_line_of_its_own() {
    for (width, height) in [(140, 42), (80, 24)] {
        let shown = drawn(&tally(5), width, height, &mut looking());
        let line = shown.lines().find(|line| line.contains("#link=")).unwrap();
        let link = line.trim_matches(['"', ' ']);
        assert_eq!(link, "http://127.0.0.1:8080/#link=4dUpgJuemfNe3AzHxWMC1XG87m6OdeWZ-ae0BULgmC4");
    }
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

fn told(tally: &Mutex<Tally>, device: usize, kind: Kind, payload: &str) {
    let (arrived, sequence, delay) = (Instant::now(), None, None);
    let message = Message { kind, payload: payload.as_bytes(), arrived, sequence, delay };
    tally.lock().unwrap().record(device, &message);
}

#[test]
fn an_alarm_is_read_without_colour_in_the_list_the_detail_and_the_head() {
    let tally = tally(5);
    for (width, height) in [(140, 42), (80, 24), (60, 20)] {
        told(&tally, 1, Kind::Alarm, FEVER);
        let shown = drawn(&tally, width, height, &mut looking());
        assert!(shown.contains("** Temp 38.7 > 38.5"), "{width}×{height}: {shown}");
        assert!(shown.contains("** 1 alarm "), "{width}×{height}: {shown}");
        let known = FEVER.replace(r#""acknowledged":null"#, r#""acknowledged":{"by":"kim"}"#);
        told(&tally, 1, Kind::Alarm, &known);
        let shown = drawn(&tally, width, height, &mut looking());
        assert!(shown.contains("** Temp 38.7 > 38.5, acknowl"), "{width}×{height}: {shown}");
        told(&tally, 1, Kind::Alarm, "");
        let shown = drawn(&tally, width, height, &mut looking());
        assert!(!shown.contains("Temp 38.7") && !shown.contains("1 alarm"), "{width}×{height}: {shown}");
    }
}

#[test]
fn an_alarm_has_the_colour_of_its_priority_and_of_several_the_most_urgent_is_in_the_list() {
    let tally = tally(2);
    let two = FEVER.replace(
        r#""alarms":["#,
        r#""alarms":[{"number":13,"condition":"asystole","priority":"high","text":"*** Asystole","active":true},"#,
    );
    told(&tally, 1, Kind::Alarm, &two);
    let buffer = screen(&tally, 120, 24, &mut looking());
    let shown = buffer.content().iter().map(|cell| cell.symbol()).collect::<String>();
    assert!(shown.contains("*** Asystole  +1") && shown.contains("*** 2 alarms"), "{shown}");
    let at = shown.find("*** Asystole").unwrap();
    let cell = shown.char_indices().position(|(place, _)| place == at).unwrap();
    assert_eq!(buffer.content()[cell].bg, Color::LightRed);
}

#[test]
fn the_rate_is_the_servers_and_nothing_is_shown_without_one() {
    let tally = tally(1);
    assert!(drawn(&tally, 140, 42, &mut looking()).contains("♥ – /min"));
    told(&tally, 0, Kind::Derived, DERIVED);
    let shown = drawn(&tally, 140, 42, &mut looking());
    assert!(shown.contains("♥ 72 /min") && shown.contains("Pulse_Rate 71.6"), "{shown}");
    let unknown = DERIVED.replace("Pulse_Rate", "Other").replace("00:41", "00:42");
    told(&tally, 0, Kind::Derived, &unknown);
    assert!(drawn(&tally, 140, 42, &mut looking()).contains("♥ – /min"));
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
