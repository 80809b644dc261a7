//! The list of devices: one band each, with its wave, vital signs, rate and delay.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};

use super::super::report::Percentiles;
use super::super::snapshot::{Row, Snapshot};
use super::{FRAME_COLOUR, alarms, framed};
use crate::wave::Window;

/// What of the wave a band shows, in seconds.
const WAVE_SECONDS: f64 = 6.0;
const BAND_LINES_MAX: u16 = 3;
/// Border above and below, and the line of column names.
const EXTRA_LINES: u16 = 3;

/// How high the list wants to be within `room` lines.
pub(super) fn height(devices: usize, room: u16) -> u16 {
    let devices = u16::try_from(devices).unwrap_or(u16::MAX);
    let wanted = devices.saturating_mul(BAND_LINES_MAX).saturating_add(EXTRA_LINES);
    wanted.min(room.max(EXTRA_LINES + 1))
}

/// Lines of a band, and how many bands fit.
pub(super) fn fit(devices: usize, height: u16) -> (u16, usize) {
    let lines = height.saturating_sub(EXTRA_LINES).max(1);
    let devices = u16::try_from(devices.max(1)).unwrap_or(u16::MAX);
    // Two lines of braille still show a wave; rather scroll than squeeze a few devices flatter.
    let band = (lines / devices).clamp(if lines >= 8 { 2 } else { 1 }, BAND_LINES_MAX);
    (band, usize::from(lines / band))
}

/// Draws the list.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, band: u16, selected: usize) {
    let first = snapshot.rows.first().map_or(0, |row| row.index);
    let last = first + snapshot.rows.len();
    let title = if snapshot.rows.len() < snapshot.devices {
        format!(" patients {}–{last} of {} ", first + 1, snapshot.devices)
    } else {
        " patients ".to_owned()
    };
    let block = framed(Line::from(title));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let names = Rect { height: 1, ..inner };
    draw_names(frame, names);
    for (slot, row) in snapshot.rows.iter().enumerate() {
        let offset = u16::try_from(slot).unwrap_or(u16::MAX).saturating_mul(band).saturating_add(1);
        let y = inner.y.saturating_add(offset);
        if y + band > inner.bottom() {
            break;
        }
        let line = Rect { y, height: band, ..inner };
        draw_row(frame, line, row, snapshot.now, row.index == selected);
    }
}

/// The columns of a line: id, wave, pulse, temperature, acceleration, rate, delay. Narrow terminals lose the last ones.
fn columns(area: Rect) -> [Rect; 7] {
    let (acceleration, delay) = match area.width {
        0..=83 => (0, 0),
        84..=109 => (0, 14),
        _ => (23, 14),
    };
    Layout::horizontal([
        Constraint::Length(19),
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(11),
        Constraint::Length(acceleration),
        Constraint::Length(8),
        Constraint::Length(delay),
    ])
    .spacing(1)
    .areas(area)
}

fn draw_names(frame: &mut Frame<'_>, area: Rect) {
    let names = ["  device", "pulse wave", "pulse", "temp.", "acceleration g", "rate", "p50 / p99 ms"];
    for (index, (name, cell)) in names.into_iter().zip(columns(area)).enumerate() {
        let side = if index < 2 { Alignment::Left } else { Alignment::Right };
        frame.render_widget(Line::from(name).fg(FRAME_COLOUR).alignment(side), cell);
    }
}

fn draw_row(frame: &mut Frame<'_>, area: Rect, row: &Row, now: f64, selected: bool) {
    let [id, wave, pulse, temperature, acceleration, rate, delay] = columns(area);
    let colour = if selected { Color::LightGreen } else { Color::Green };
    frame.render_widget(Window::new(&row.wave, now, WAVE_SECONDS).canvas(colour), wave);
    if let Some(alarm) = alarms::first(&row.alarms) {
        draw_alarm(frame, area, wave, alarm);
    }
    draw_id(frame, id, row, selected);
    let beats = row.pulse_per_minute.map_or("–".to_owned(), |beats| format!("{beats:.0}"));
    cell(
        frame,
        pulse,
        vec!["♥ ".fg(Color::LightRed), beats.bold().fg(Color::LightGreen), " /min".fg(FRAME_COLOUR)],
    );
    cell(
        frame,
        temperature,
        vec![row.temperature.as_str().bold().fg(Color::LightYellow), " °C".fg(FRAME_COLOUR)],
    );
    let axes = row.acceleration.each_ref().map(|axis| format!("{axis:>7}")).concat();
    cell(frame, acceleration, vec![axes.fg(Color::LightBlue)]);
    cell(frame, rate, vec![format!("{:.1}", row.rate).into(), " /s".fg(FRAME_COLOUR)]);
    cell(frame, delay, delay_spans(row.latency));
}

/// On a line of its own where the band has one, which leaves it more room than the wave.
fn draw_alarm(frame: &mut Frame<'_>, area: Rect, wave: Rect, alarm: Line<'_>) {
    let (y, room) = match area.height {
        0 | 1 => (area.y, wave.width),
        2 => (area.y + 1, area.right().saturating_sub(wave.x)),
        _ => (area.y, area.right().saturating_sub(wave.x)),
    };
    let width = u16::try_from(alarm.width()).unwrap_or(u16::MAX).min(room);
    frame.render_widget(alarm, Rect { x: wave.x, y, width, height: area.height.min(1) });
}

fn draw_id(frame: &mut Frame<'_>, area: Rect, row: &Row, selected: bool) {
    let name = Span::from(row.id.as_str());
    let marker = Span::from(if selected { "▌ " } else { "  " }).fg(Color::LightCyan);
    let name = if selected { name.bold().fg(Color::LightCyan) } else { name.bold() };
    let middle = middle(area);
    frame.render_widget(Line::from(vec![marker.clone(), name]), middle);
    if area.height >= 2 && middle.bottom() < area.bottom() {
        let below = Rect { y: middle.y + 1, ..middle };
        frame.render_widget(Line::from(vec![marker, row.speaks.fg(FRAME_COLOUR)]), below);
    }
}

fn delay_spans(latency: Percentiles) -> Vec<Span<'static>> {
    let (Some(p50), Some(p99)) = (latency.p50, latency.p99) else { return vec!["–".into()] };
    let late = if p99 < 20.0 { Color::Reset } else { Color::Yellow };
    vec![format!("{p50:.1}").into(), " / ".fg(FRAME_COLOUR), format!("{p99:.1}").fg(late)]
}

fn cell(frame: &mut Frame<'_>, area: Rect, spans: Vec<Span<'_>>) {
    frame.render_widget(Line::from(spans).alignment(Alignment::Right), middle(area));
}

/// The line of a band that text stands on.
fn middle(area: Rect) -> Rect {
    Rect { y: area.y + (area.height.saturating_sub(1)) / 2, height: area.height.min(1), ..area }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_devices_get_three_lines_each_when_there_is_room() {
        assert_eq!(height(5, 22), 18);
        assert_eq!(fit(5, 18), (3, 5));
    }

    #[test]
    fn many_devices_scroll_in_bands_of_two_lines() {
        assert_eq!(height(1000, 22), 22);
        assert_eq!(fit(1000, 22), (2, 9));
    }

    #[test]
    fn tiny_terminals_show_at_least_one_device() {
        assert_eq!(fit(5, 3), (1, 1));
        assert_eq!(height(5, 0), 4);
    }
}
