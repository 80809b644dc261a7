//! The live table of topics: what is kept of them, and how it is drawn. Knows no network.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEventKind};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Padding, Row, Table as TableWidget, TableState};
use tokio_util::sync::CancellationToken;

use super::FRAME;
use crate::terminal::{Screen, is_quit};

/// Topics kept; more are counted but not shown.
const TOPICS_MAX: usize = 20_000;
/// Over how long a topic's rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(2);
const OLD: Duration = Duration::from_secs(5);
const AGE_WIDTH: usize = 7;
const RATE_WIDTH: usize = 8;
const SPACING: usize = 2;
/// Numbers are short, and a whole JSON message does not fit anyway.
const VALUE_WIDTH_MAX: usize = 40;

/// The latest message of each topic.
#[derive(Default)]
pub(super) struct Table {
    topics: BTreeMap<String, Entry>,
    left_out: u64,
    lost: Option<String>,
    connected: bool,
}

struct Entry {
    value: String,
    arrived: Instant,
    window_start: Instant,
    in_window: u32,
    rate: f64,
}

/// One line of the table, ready to draw.
struct Shown {
    topic: String,
    value: String,
    age: Duration,
    rate: f64,
}

impl Table {
    /// Whether the broker is there; otherwise why not.
    pub(super) fn set_connected(&mut self, lost: Option<&str>) {
        self.connected = lost.is_none();
        self.lost = lost.map(str::to_owned);
    }

    /// Takes in one message.
    pub(super) fn record(&mut self, topic: &str, value: String) {
        let now = Instant::now();
        if let Some(entry) = self.topics.get_mut(topic) {
            entry.value = value;
            entry.arrived = now;
            entry.in_window += 1;
            let window = now - entry.window_start;
            if window >= RATE_WINDOW {
                entry.rate = f64::from(entry.in_window) / window.as_secs_f64();
                (entry.window_start, entry.in_window) = (now, 0);
            }
        } else if self.topics.len() < TOPICS_MAX {
            let entry = Entry { value, arrived: now, window_start: now, in_window: 0, rate: 0.0 };
            self.topics.insert(topic.to_owned(), entry);
        } else {
            self.left_out += 1;
        }
    }

    fn window(&self, first: usize, count: usize) -> Vec<Shown> {
        let now = Instant::now();
        let rows = self.topics.iter().skip(first).take(count);
        rows.map(|(topic, entry)| {
            let age = now - entry.arrived;
            // A topic that fell silent has no rate, whatever it once had.
            let rate = if age > RATE_WINDOW * 2 { 0.0 } else { entry.rate };
            Shown { topic: topic.clone(), value: entry.value.clone(), age, rate }
        })
        .collect()
    }
}

/// Draws until the person leaves or `stop` says so.
pub(super) fn show(table: &Mutex<Table>, title: &str, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut first = 0;
    while !stop.is_cancelled() {
        let mut height = 0;
        screen.terminal.draw(|frame| height = draw(frame, table, title, &mut first))?;
        if !event::poll(FRAME)? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match key.code {
            _ if is_quit(&key) => break,
            KeyCode::Up | KeyCode::Char('k') => first = first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => first += 1,
            KeyCode::PageUp => first = first.saturating_sub(height),
            KeyCode::PageDown => first += height,
            KeyCode::Home => first = 0,
            KeyCode::End => first = usize::MAX,
            _ => {}
        }
    }
    Ok(())
}

/// Draws one frame; returns how many topics it has room for.
fn draw(frame: &mut Frame<'_>, table: &Mutex<Table>, title: &str, first: &mut usize) -> usize {
    let [body, footer] = Layout::vertical([Constraint::Min(4), Constraint::Length(1)]).areas(frame.area());
    let height = usize::from(body.height.saturating_sub(3));
    let (rows, total, left_out, lost, connected) = {
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        *first = (*first).min(table.topics.len().saturating_sub(height));
        let rows = table.window(*first, height);
        (rows, table.topics.len(), table.left_out, table.lost.clone(), table.connected)
    };
    let state = match lost {
        Some(reason) => Span::from(format!(" away: {reason}, trying again ")).fg(Color::Red),
        None if connected => Span::from(" ● connected ").fg(Color::Green),
        None => Span::from(" connecting … ").fg(Color::Yellow),
    };
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(Line::from(vec![" vitalwire ".bold().fg(Color::Cyan), Span::from(format!("{title} "))]))
        .title(Line::from(state).alignment(Alignment::Right))
        .padding(Padding::horizontal(1));
    let header = Row::new(["topic", "value", "age", "rate"].map(|name| Cell::from(name).dim()));
    let inner = usize::from(block.inner(body).width);
    let [topic, value] = split(inner.saturating_sub(AGE_WIDTH + RATE_WIDTH + 3 * SPACING));
    let widths = [topic, value, AGE_WIDTH, RATE_WIDTH].map(|width| Constraint::Length(clamped(width)));
    let rows: Vec<_> = rows.iter().map(|shown| row(shown, topic, value)).collect();
    let widget = TableWidget::new(rows, widths).header(header).block(block).column_spacing(clamped(SPACING));
    frame.render_stateful_widget(widget, body, &mut TableState::default());
    frame.render_widget(footer_line(*first, height, total, left_out), footer);
    height
}

fn clamped(width: usize) -> u16 {
    u16::try_from(width).unwrap_or(u16::MAX)
}

/// Columns for topics and for values: topics are the longer ones, and they must stay apart.
fn split(width: usize) -> [usize; 2] {
    let value = (width / 3).min(VALUE_WIDTH_MAX);
    [width - value, value]
}

fn row(shown: &Shown, topic_width: usize, value_width: usize) -> Row<'static> {
    let topic = shorten(&shown.topic, topic_width);
    let (tree, leaf) = topic.rsplit_once('/').map_or(("", topic.as_str()), |(tree, leaf)| (tree, leaf));
    let slash = if tree.is_empty() { "" } else { "/" };
    let fresh = shown.age < OLD;
    let value =
        if fresh { Style::new().add_modifier(Modifier::BOLD) } else { Style::new().fg(Color::DarkGray) };
    let age = if fresh { Style::new().fg(Color::Green) } else { Style::new().fg(Color::Yellow) };
    let rate = if shown.rate > 0.0 { format!("{:6.1}/s", shown.rate) } else { String::new() };
    Row::new([
        Cell::from(Line::from(vec![
            format!("{tree}{slash}").fg(Color::DarkGray),
            leaf.to_owned().fg(Color::Cyan),
        ])),
        Cell::from(cut(&shown.value, value_width)).style(value),
        Cell::from(age_text(shown.age)).style(age),
        Cell::from(rate),
    ])
}

/// The topic in so many columns. Its first two levels say whose it is and its last ones what it is, so what goes is in
/// between, and at last at the front: topics that differ at their ends stay apart.
fn shorten(topic: &str, width: usize) -> String {
    let letters = |text: &str| text.chars().count();
    if letters(topic) <= width {
        return topic.to_owned();
    }
    let levels: Vec<&str> = topic.split('/').collect();
    for head in [2, 1] {
        // As many of the last levels as there is room for, but at least two where there are.
        for tail in (2..levels.len().saturating_sub(head)).rev() {
            let (first, last) = (levels.get(..head), levels.get(levels.len() - tail..));
            let (Some(first), Some(last)) = (first, last) else { continue };
            let shown = format!("{}/…/{}", first.join("/"), last.join("/"));
            if letters(&shown) <= width {
                return shown;
            }
        }
        if let (Some(first), Some(last)) = (levels.get(..head), levels.last())
            && levels.len() > head + 1
        {
            let shown = format!("{}/…/{last}", first.join("/"));
            if letters(&shown) <= width {
                return shown;
            }
        }
    }
    let kept: Vec<char> = topic.chars().rev().take(width.saturating_sub(1)).collect();
    std::iter::once('…').take(width).chain(kept.into_iter().rev()).collect()
}

/// A text in so many columns; a mark shows that it goes on.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(std::iter::once('…').take(width)).collect()
}

fn footer_line(first: usize, height: usize, total: usize, left_out: u64) -> Line<'static> {
    let last = (first + height).min(total);
    let more =
        if left_out > 0 { format!("  over {TOPICS_MAX} topics: narrow --filter") } else { String::new() };
    Line::from(vec![
        " q".bold(),
        " leave  ".dim(),
        "↑↓ PgUp PgDn".bold(),
        format!(" scroll   topics {}–{last} of {total}", (first + 1).min(total)).dim(),
        more.fg(Color::Yellow),
    ])
}

fn age_text(age: Duration) -> String {
    match age.as_secs() {
        0 => format!("{} ms", age.as_millis()),
        seconds @ 1..=99 => format!("{seconds} s"),
        seconds if seconds < 100 * 60 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn screen_of(table: &Mutex<Table>, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| {
                draw(frame, table, "mqtt://nurse@127.0.0.1:1883  Pico/#", &mut 0);
            })
            .unwrap();
        terminal.backend().to_string()
    }

    fn screen(table: &Mutex<Table>) -> String {
        screen_of(table, 100, 16)
    }

    /// The eleven topics of a device, with a value of the paper's form in each.
    fn eleven(table: &mut Table, device: &str) -> Vec<(String, String)> {
        let names = [
            "Physiological_Data/Temperature",
            "Physiological_Data/Pulse_Signal",
            "Physiological_Data/Accelerometer/x",
            "Physiological_Data/Accelerometer/y",
            "Physiological_Data/Accelerometer/z",
            "Internal_Device_Data/Temperature/MCU",
            "Internal_Device_Data/Temperature/MPU",
            "Ip_address",
            "Port_address",
            "Internal_Server/Ip_address",
            "Internal_Server/Port_address",
        ];
        let topics = names.iter().enumerate().map(|(place, name)| {
            let (topic, value) = (format!("Pico/{device}/{name}"), format!("{place}36.62{place}"));
            table.record(&topic, value.clone());
            (topic, value)
        });
        topics.collect()
    }

    #[test]
    fn at_80_columns_every_topic_of_a_device_differs_and_every_value_is_whole() {
        for (device, width) in [("bed_07", 80), ("intensive_care_bed_12", 80), ("bed_07", 60)] {
            let mut table = Table::default();
            let topics = eleven(&mut table, device);
            let shown = screen_of(&Mutex::new(table), width, 24);
            let mut seen = std::collections::BTreeSet::new();
            for (topic, value) in topics {
                let line =
                    shown.lines().find(|line| line.contains(&value)).unwrap_or_else(|| panic!("{shown}"));
                let topic_shown = line.split(&value).next().unwrap().trim_matches(['"', '│', ' ']).to_owned();
                let leaf = topic.rsplit('/').next().unwrap();
                assert!(topic_shown.ends_with(leaf), "{topic_shown} in\n{shown}");
                assert!(seen.insert(topic_shown), "two topics look alike in\n{shown}");
            }
            assert!(width < 80 || shown.contains(device), "{shown}");
        }
    }

    #[test]
    fn what_goes_from_a_topic_is_its_middle_and_then_its_front() {
        let topic = "Pico/bed_07/Physiological_Data/Accelerometer/x";
        assert_eq!(shorten(topic, 46), topic);
        assert_eq!(shorten(topic, 45), "Pico/bed_07/…/Accelerometer/x");
        assert_eq!(shorten(topic, 28), "Pico/bed_07/…/x");
        assert_eq!(shorten(topic, 14), "Pico/…/x");
        assert_eq!(shorten(topic, 6), "…ter/x");
        assert_eq!((shorten(topic, 1), shorten(topic, 0)), ("…".to_owned(), String::new()));
        assert_eq!(cut("{\"time\":1}", 6), "{\"tim…");
    }

    #[test]
    fn shows_topic_value_and_state() {
        let mut table = Table::default();
        table.set_connected(None);
        table.record("Pico/bed_07/Physiological_Data/Temperature", "36.600".into());
        let shown = screen(&Mutex::new(table));
        assert!(shown.contains("Pico/bed_07/Physiological_Data/Temperature"), "{shown}");
        assert!(shown.contains("36.600") && shown.contains("connected"), "{shown}");
        assert!(shown.contains("topics 1–1 of 1"), "{shown}");
    }

    #[test]
    fn says_why_the_broker_is_away() {
        let mut table = Table::default();
        table.set_connected(Some("connection reset"));
        assert!(screen(&Mutex::new(table)).contains("away: connection reset"));
    }

    #[test]
    fn topics_beyond_the_bound_are_counted_not_kept() {
        let mut table = Table::default();
        for number in 0..TOPICS_MAX + 3 {
            table.record(&format!("t/{number}"), String::new());
        }
        assert_eq!((table.topics.len(), table.left_out), (TOPICS_MAX, 3));
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(age_text(Duration::from_millis(40)), "40 ms");
        assert_eq!(age_text(Duration::from_secs(61)), "61 s");
        assert_eq!(age_text(Duration::from_secs(7200)), "2 h");
    }
}
