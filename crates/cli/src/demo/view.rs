//! The live view: who is connected, what arrives, how late, and how to watch it oneself. Reads the tally, changes
//! nothing.

mod alarms;
mod detail;
mod rows;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEventKind};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Padding};
use tokio_util::sync::CancellationToken;

use super::snapshot::Snapshot;
use super::tally::Tally;
use crate::config::wrap;
use crate::terminal::{Screen, is_quit};

/// How often the screen is drawn: smooth for the eye, a few percent of one core.
const FRAME: Duration = Duration::from_millis(66);
/// A reading that has not arrived after this long is shown as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// Below this many lines only the list and the totals are shown.
const LINES_FOR_DETAIL: u16 = 26;

const FRAME_COLOUR: Color = Color::DarkGray;

/// What the view tells besides the tally.
pub(crate) struct Scene<'a> {
    /// What runs, for the first line.
    pub(crate) title: String,
    /// The dashboard, with a token that logs in.
    pub(crate) link: String,
    /// Who listens where, for the second.
    pub(crate) addresses: String,
    /// The command that shows the same in another terminal.
    pub(crate) command: String,
    pub(crate) tally: &'a Mutex<Tally>,
    /// Readings sent so far.
    pub(crate) sent: &'a dyn Fn() -> u64,
}

/// Where the person looks.
struct Looking {
    selected: usize,
    first: usize,
    started: Instant,
    /// Readings sent, with the moment: what was sent two seconds ago and is not here yet counts as lost.
    sent_before: VecDeque<(Instant, u64)>,
}

/// Draws until the person leaves, or `stop` says so.
///
/// # Errors
/// When the terminal fails.
pub(crate) fn show(scene: &Scene<'_>, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut looking =
        Looking { selected: 0, first: 0, started: Instant::now(), sent_before: VecDeque::new() };
    while !stop.is_cancelled() {
        screen.terminal.draw(|frame| draw(frame, scene, &mut looking))?;
        if !event::poll(FRAME)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
        {
            if is_quit(&key) {
                break;
            }
            looking.turn(key.code);
        }
    }
    Ok(())
}

impl Looking {
    fn turn(&mut self, key: KeyCode) {
        match key {
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected += 1,
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(10),
            KeyCode::PageDown => self.selected += 10,
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = usize::MAX,
            _ => {}
        }
    }

    /// Keeps the selection inside the list, and the list scrolled to the selection.
    fn settle(&mut self, devices: usize, visible: usize) {
        self.selected = self.selected.min(devices.saturating_sub(1));
        let first_min = (self.selected + 1).saturating_sub(visible);
        self.first = self.first.clamp(first_min, self.selected.max(first_min));
        self.first = self.first.min(devices.saturating_sub(visible));
    }

    /// Readings sent long enough ago to have arrived.
    fn due(&mut self, sent: u64) -> u64 {
        let now = Instant::now();
        self.sent_before.push_back((now, sent));
        let mut due = 0;
        while let Some((at, count)) = self.sent_before.front().copied() {
            if now - at < LOST_AFTER {
                break;
            }
            due = count;
            // Keep the newest of the old ones for the next frame.
            if self.sent_before.get(1).is_none_or(|(next, _)| now - *next < LOST_AFTER) {
                break;
            }
            self.sent_before.pop_front();
        }
        due
    }
}

fn draw(frame: &mut Frame<'_>, scene: &Scene<'_>, looking: &mut Looking) {
    let area = frame.area();
    let devices = scene.tally.lock().unwrap_or_else(PoisonError::into_inner).devices.len();
    let with_detail = area.height >= LINES_FOR_DETAIL;
    let command_text = shell_lines(&scene.command, usize::from(area.width));
    let command_lines = u16::try_from(command_text.len()).unwrap_or(u16::MAX);
    let fixed = 2 + LINK_LINES + 1 + command_lines + 1 + 1;
    let room = area.height.saturating_sub(fixed + if with_detail { 14 } else { 0 });
    let list_height = rows::height(devices, room);
    let lines = [
        Constraint::Length(2),
        if with_detail { Constraint::Length(list_height) } else { Constraint::Min(3) },
        if with_detail { Constraint::Min(0) } else { Constraint::Length(0) },
        Constraint::Length(LINK_LINES + 1 + command_lines),
        Constraint::Length(1),
        Constraint::Length(1),
    ];
    let [head, list, bottom, command, totals, keys] = Layout::vertical(lines).areas(area);
    let (row_height, visible) = rows::fit(devices, list.height);
    looking.settle(devices, visible);
    // Asked first: what is sent in between may be here already, but never the other way round.
    let sent = (scene.sent)();
    let snapshot = {
        let tally = scene.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot::take(&tally, looking.first, visible, looking.selected)
    };
    draw_head(frame, head, scene, looking, &snapshot);
    rows::draw(frame, list, &snapshot, row_height, looking.selected);
    if let Some(detail) = snapshot.detail.as_ref().filter(|_| with_detail) {
        detail::draw(frame, bottom, detail, snapshot.now);
    }
    draw_ways(frame, command, &scene.link, &command_text);
    let lost = looking.due(sent).saturating_sub(snapshot.delivered);
    frame.render_widget(totals_line(sent, lost, &snapshot), totals);
    frame.render_widget(keys_line(), keys);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, scene: &Scene<'_>, looking: &Looking, snapshot: &Snapshot) {
    let seconds = looking.started.elapsed().as_secs();
    let clock = format!("{:02}:{:02}", seconds / 60, seconds % 60);
    let all = snapshot.served == snapshot.devices;
    let state = if all {
        Span::from(format!(" ● {} of {} connected ", snapshot.served, snapshot.devices)).fg(Color::LightGreen)
    } else {
        Span::from(format!(" ◌ {} of {} connected ", snapshot.served, snapshot.devices)).fg(Color::Yellow)
    };
    let title = Line::from(vec![
        " vitalwire ".bold().fg(Color::Black).bg(Color::LightCyan),
        Span::from(format!(" {clock}  ")).fg(Color::LightCyan),
        scene.title.as_str().bold(),
    ]);
    let state: Line<'_> = alarms::count(snapshot.alarms).into_iter().chain([state]).collect();
    let state_width = u16::try_from(state.width()).unwrap_or(u16::MAX);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(state_width)])
        .areas(Rect { height: 1, ..area });
    frame.render_widget(title, left);
    frame.render_widget(state.alignment(Alignment::Right), right);
    let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    frame.render_widget(Line::from(format!(" {}", scene.addresses)).fg(FRAME_COLOUR), below);
}

/// A command in lines that can be copied with the mouse and run as they are: broken between words, with a backslash.
fn shell_lines(command: &str, width: usize) -> Vec<String> {
    let mut lines = wrap(command, width.saturating_sub(CONTINUATION.len()).max(1));
    let last = lines.len().saturating_sub(1);
    lines.iter_mut().take(last).for_each(|line| line.push_str(CONTINUATION));
    lines
}

const CONTINUATION: &str = " \\";

/// The link is a line of its own, so that terminals find all of it.
const LINK_LINES: u16 = 1;

fn draw_ways(frame: &mut Frame<'_>, area: Rect, link: &str, command: &[String]) {
    let mut lines = vec![
        Line::from(
            " open the dashboard in a browser (the link logs in once), or watch in another terminal:"
                .fg(FRAME_COLOUR),
        ),
        Line::from(link.bold().fg(Color::White)),
    ];
    lines.extend(command.iter().map(|line| Line::from(line.as_str().bold().fg(Color::White))));
    frame.render_widget(Text::from(lines), area);
}

fn totals_line(sent: u64, lost: u64, snapshot: &Snapshot) -> Line<'static> {
    let label = |text: &'static str| Span::from(text).fg(FRAME_COLOUR);
    let lost_colour = if lost == 0 { Color::LightGreen } else { Color::LightRed };
    Line::from(vec![
        label(" sent "),
        grouped(sent).bold(),
        label("   delivered "),
        grouped(snapshot.delivered).bold(),
        label("   lost "),
        grouped(lost).bold().fg(lost_colour),
        label("   device → subscriber "),
        snapshot.latency.to_string().into(),
    ])
}

fn keys_line() -> Line<'static> {
    Line::from(vec![
        " ↑↓".bold(),
        " choose a device  ".fg(FRAME_COLOUR),
        "q".bold(),
        " stop".fg(FRAME_COLOUR),
        "   simulated patients; not a medical device".fg(FRAME_COLOUR),
    ])
}

/// 1234567 as 1 234 567, with thin spaces between.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A rounded box with a title.
fn framed(title: Line<'_>) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(FRAME_COLOUR))
        .title(title)
        .padding(Padding::horizontal(1))
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
