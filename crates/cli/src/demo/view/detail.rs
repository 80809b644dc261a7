//! The selected device: its wave in large, and its topics with their latest values.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span, Text};
use vitalwire_protocol::Channel;

use super::super::snapshot::Detail;
use super::{FRAME_COLOUR, alarms, framed};
use crate::wave::Window;

/// What of the wave is shown in large, in seconds.
const WAVE_SECONDS: f64 = 8.0;
const TOPICS_WIDTH: u16 = 56;

/// Draws wave and topics side by side.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, detail: &Detail, now: f64) {
    let topics = if area.width >= TOPICS_WIDTH * 2 { TOPICS_WIDTH } else { area.width / 2 };
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(topics)]).areas(area);
    draw_wave(frame, left, detail, now);
    draw_topics(frame, right, detail);
}

fn draw_wave(frame: &mut Frame<'_>, area: Rect, detail: &Detail, now: f64) {
    let mut title = vec![" pulse of ".into(), detail.id.as_str().bold().fg(Color::LightCyan), " ".into()];
    title.extend(alarms::all(&detail.alarms));
    let block = framed(Line::from(title)).title(Line::from(heart(detail)).alignment(Alignment::Right));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [body, axis] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(inner);
    let [labels, plot] = Layout::horizontal([Constraint::Length(7), Constraint::Fill(1)]).areas(body);
    let window = Window::new(&detail.wave, now, WAVE_SECONDS);
    let (low, high) = (window.low, window.high);
    frame.render_widget(window.canvas(Color::LightGreen), plot);
    let label = |value: f64| Line::from(format!("{value:.2} V")).fg(FRAME_COLOUR);
    frame.render_widget(label(high), Rect { height: labels.height.min(1), ..labels });
    let bottom = Rect { y: labels.bottom().saturating_sub(1), height: labels.height.min(1), ..labels };
    frame.render_widget(label(low), bottom);
    let axis = Rect { x: plot.x, width: plot.width, ..axis };
    frame.render_widget(Line::from(format!("−{WAVE_SECONDS:.0} s")).fg(FRAME_COLOUR), axis);
    frame.render_widget(Line::from("now").fg(FRAME_COLOUR).alignment(Alignment::Right), axis);
}

fn heart(detail: &Detail) -> Vec<Span<'static>> {
    let Some(beats) = detail.pulse_per_minute else { return vec![" ♥ – ".fg(FRAME_COLOUR)] };
    vec![
        " ♥ ".fg(Color::LightRed),
        format!("{beats:.0}").bold().fg(Color::LightGreen),
        " /min ".fg(FRAME_COLOUR),
    ]
}

fn draw_topics(frame: &mut Frame<'_>, area: Rect, detail: &Detail) {
    let block = framed(Line::from(" topics "));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let value = |channel: Channel| detail.texts.get(channel.index()).map_or("", String::as_str);
    let ends = |[ip, port]: &[String; 2]| format!("{ip}   {port}");
    let (peer, gateway) = (ends(&detail.peer), ends(&detail.gateway));
    let derived = detail.pulse_per_minute.map_or(String::new(), |rate| format!("JSON, Pulse_Rate {rate:.1}"));
    let alarm = match detail.alarms.open.len() {
        0 => "JSON, none open".to_owned(),
        open => format!("JSON, {open} open"),
    };
    let reading = format!("JSON, sequence {}", detail.sequence);
    let id = detail.id.as_str();
    let ours = format!("vitalwire/v1/{id}/");
    let lines: Vec<(&str, &str, &str)> = vec![
        ("Pico/", id, ""),
        ("├ Physiological_Data/", "Temperature", value(Channel::Temp)),
        ("│                    ", "Pulse_Signal", value(Channel::PulseSig)),
        ("│                    ", "Accelerometer/x", value(Channel::AccelX)),
        ("│                    ", "Accelerometer/y", value(Channel::AccelY)),
        ("│                    ", "Accelerometer/z", value(Channel::AccelZ)),
        ("├ Internal_Device_Data/Temperature/", "MCU", value(Channel::TempMcu)),
        ("│                                  ", "MPU", value(Channel::TempMpu)),
        ("├ ", "Ip_address, Port…", &peer),
        ("└ Internal_Server/", "Ip_address, Port…", &gateway),
        (&ours, "status", &detail.status),
        ("├ ", "reading", &reading),
        ("├ ", "derived", &derived),
        ("└ ", "alarm", &alarm),
    ];
    let width = usize::from(inner.width);
    let text: Vec<Line<'_>> =
        lines.iter().map(|(tree, leaf, value)| topic_line(width, tree, leaf, value)).collect();
    frame.render_widget(Text::from(text), inner);
}

fn topic_line<'a>(width: usize, tree: &'a str, leaf: &'a str, value: &'a str) -> Line<'a> {
    let used = tree.chars().count() + leaf.chars().count() + value.chars().count();
    let space = " ".repeat(width.saturating_sub(used));
    Line::from(vec![tree.fg(FRAME_COLOUR), leaf.fg(Color::Cyan), space.into(), value.bold()])
}
