//! Facts about the screen, drawn in memory.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use vitalwire_device::status::Trouble;

use super::*;

fn picture() -> Picture {
    let state = DeskState {
        mode: Mode::Collector,
        activity: Activity::Delivering,
        is_lit: true,
        server: Some("127.0.0.1:9998".to_owned()),
        wifi_name: Some("ward 3".to_owned()),
        starts: 2,
        delivered: 1_234,
        held: 5,
        ..DeskState::default()
    };
    Picture {
        name: "bed_07".to_owned(),
        protocol: "TLS 1.3",
        page_url: None,
        state,
        knobs: Knobs { celsius_steps: [3, 0, 0], ..Knobs::default() },
        switch: Switch::Collector,
        has_network: true,
        values: [36.7, 23.5, 23.2, 0.01, -0.12, 0.98, 72.0].map(Some),
        wave: (0..800).map(|n| (f64::from(n) / 100.0, 1.5 + f64::from(n % 70) / 100.0)).collect(),
        now: 8.0,
        selected: 0,
        has_entry: false,
    }
}

fn drawn(picture: &Picture, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, picture)).unwrap();
    terminal.backend().to_string()
}

#[track_caller]
fn assert_shows(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}

#[test]
fn shows_wave_values_device_and_keys() {
    let shown = drawn(&picture(), 120, 30);
    let parts = [
        "bed_07",
        "TLS 1.3",
        "● LED",
        "36.7 °C",
        "+1.5",
        "-0.12 g",
        "72.0 /min",
        "delivers",
        "ward 3",
        "127.0.0.1:9998",
        "1234",
        "5 held",
        "1…12",
        "arrhythmia",
        "mode switch",
        "not a medical device",
    ];
    assert_shows(&shown, &parts);
    assert!(shown.chars().any(|letter| ('\u{2801}'..='\u{28ff}').contains(&letter)), "the wave:\n{shown}");
}

#[test]
fn shows_trouble_unplugged_sensors_and_a_network_that_is_gone() {
    let mut picture = picture();
    (picture.state.activity, picture.state.trouble) = (Activity::Joining, Some(Trouble::WifiPassword));
    picture.knobs.unplugged = [true, true, false];
    picture.has_network = false;
    let shown = drawn(&picture, 140, 30);
    assert_shows(&shown, &["refused the password", "unplugged", "sensor unplugged", "tries again", "gone"]);
}

#[test]
fn shows_where_the_page_is_while_it_is_served() {
    let mut picture = picture();
    (picture.state.mode, picture.state.activity) = (Mode::Configuration, Activity::Configuring);
    let url = "http://127.0.0.1:8080/#00112233445566778899aabbccddeeff";
    picture.page_url = Some(url.to_owned());
    picture.has_entry = true;
    let shown = drawn(&picture, 140, 36);
    assert_shows(&shown, &["configuration mode", url, "█▀▀▀▀▀█", "1_"]);
    let narrow = drawn(&picture, 60, 24);
    assert!(!narrow.contains("█▀▀▀▀▀█"), "half a code is of no use:\n{narrow}");
    assert_shows(&narrow, &["127.0.0.1:8080/#00112233"]);
}

#[test]
fn on_80_columns_no_digit_unit_or_key_is_cut() {
    let mut picture = picture();
    picture.values = [36.7, 23.5, 23.2, 1.10, -0.12, -1.98, 172.0].map(Some);
    picture.knobs = Knobs { celsius_steps: [30, -30, 0], g_steps: [10, -10, 0], ..picture.knobs };
    picture.state.delivered = 1_234_567;
    let shown = drawn(&picture, 80, 24);
    let whole = [
        "36.7 °C  +15.0",
        "23.5 °C  -15.0",
        "23.2 °C",
        "1.10 g  +1.0",
        "-0.12 g  -1.0",
        "-1.98 g",
        "172.0 /min",
        "delivers",
        "ward 3",
        "127.0.0.1:9998",
        "1234567 batches",
        "5 held, 0 values missed",
        "collector, start 2",
        "m motion",
        "not a medical device",
    ];
    assert_shows(&shown, &whole);
    (picture.state.activity, picture.state.trouble) = (Activity::Joining, Some(Trouble::WifiPassword));
    picture.knobs.unplugged = [true; 3];
    let shown = drawn(&picture, 80, 24);
    assert_shows(&shown, &["refused the", "it tries again", "unplugged", "127.0.0.1:9998", "start 2"]);
    picture.values[6] = None;
    assert_shows(&drawn(&picture, 80, 24), &["recorded"]);
}

#[test]
fn the_address_of_the_page_is_whole_on_80_columns() {
    let mut picture = picture();
    (picture.state.mode, picture.state.activity) = (Mode::Configuration, Activity::Configuring);
    let url = "http://127.0.0.1:65535/#00112233445566778899aabbccddeeff";
    picture.page_url = Some(url.to_owned());
    assert_shows(&drawn(&picture, 80, 24), &[url, "configuration mode"]);
}

#[test]
fn small_and_tiny_terminals_do_not_fail() {
    for (width, height) in [(80, 24), (60, 12), (20, 5), (1, 1)] {
        drawn(&picture(), width, height);
    }
}
