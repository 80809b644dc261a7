//! What the screen of the pseudo pico shows: wave or the way to the configuration page, values, device, keys. It draws a picture
//! that was taken before, and changes nothing.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Padding};
use vitalwire_device::mode::{Mode, Switch};
use vitalwire_device::status::Activity;
use vitalwire_simulator::desk::{DeskHandle, DeskState};
use vitalwire_simulator::hardware::{Knobs, Sensor};

use super::About;
use super::keys::{ADJUSTABLE, Menu};
use crate::config::wrap;
use crate::label::Label;
use crate::wave::{Point, Window};

const FRAME_COLOUR: Color = Color::DarkGray;
/// What of the wave is shown, in seconds.
const WAVE_SECONDS: f64 = 8.0;
/// Columns of the values' box: on 80 columns the device's box has the other 35.
const VALUES_WIDTH: u16 = 45;
/// Lines of the lower boxes: as many as there are values, and their frame.
const BOXES_HEIGHT: u16 = 9;

/// All that is shown, at one moment.
pub(super) struct Picture {
    name: String,
    protocol: &'static str,
    page_url: Option<String>,
    state: DeskState,
    knobs: Knobs,
    switch: Switch,
    has_network: bool,
    /// In the order of [`ADJUSTABLE`]; the heart rate is none while a recording plays.
    values: [Option<f64>; ADJUSTABLE.len()],
    wave: Vec<Point>,
    now: f64,
    selected: usize,
    has_entry: bool,
}

impl Picture {
    pub(super) fn take(desk: &DeskHandle, about: &About, menu: &Menu) -> Self {
        let (state, wearer, now) = (desk.state(), desk.wearer(), desk.seconds());
        let [x, y, z] = wearer.acceleration_g(now).map(Some);
        let values = [
            Some(wearer.body_celsius(now)),
            Some(wearer.mcu_celsius(now)),
            Some(wearer.mpu_celsius(now)),
            x,
            y,
            z,
            wearer.heart_rate_per_min(),
        ];
        Self {
            name: about.name.clone(),
            protocol: about.protocol,
            page_url: state.page.map(&about.page_url),
            state,
            knobs: wearer.knobs(),
            switch: desk.switch(),
            has_network: desk.has_network(),
            values,
            wave: desk.wave(),
            now,
            selected: menu.selected,
            has_entry: menu.has_entry(),
        }
    }

    fn is_unplugged(&self, sensor: Sensor) -> bool {
        let [temperature, pulse, movement] = self.knobs.unplugged;
        match sensor {
            Sensor::Temperature => temperature,
            Sensor::Pulse => pulse,
            Sensor::Movement => movement,
        }
    }
}

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let area = frame.area();
    let lines =
        [Constraint::Length(1), Constraint::Min(0), Constraint::Length(BOXES_HEIGHT), Constraint::Length(2)];
    let [head, wave, boxes, keys] = Layout::vertical(lines).areas(area);
    let values_width = VALUES_WIDTH.min(boxes.width);
    let [values, device] =
        Layout::horizontal([Constraint::Length(values_width), Constraint::Fill(1)]).areas(boxes);
    draw_head(frame, head, picture);
    match &picture.page_url {
        Some(url) => draw_page(frame, wave, url),
        None => draw_wave(frame, wave, picture),
    }
    draw_values(frame, values, picture);
    draw_device(frame, device, picture);
    frame.render_widget(Text::from(keys_lines(picture).to_vec()), keys);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let title = Line::from(vec![
        " vitalwire pico ".bold().fg(Color::Black).bg(Color::LightCyan),
        Span::from(format!(" {} ", picture.name)).bold(),
        picture.protocol.fg(FRAME_COLOUR),
    ]);
    let led =
        if picture.state.is_lit { "● LED ".fg(Color::LightGreen) } else { "○ LED ".fg(FRAME_COLOUR) };
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(6)]).areas(area);
    frame.render_widget(title, left);
    frame.render_widget(Line::from(led).alignment(Alignment::Right), right);
}

fn draw_wave(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let state = if picture.is_unplugged(Sensor::Pulse) {
        " sensor unplugged ".fg(Color::Yellow)
    } else if picture.knobs.is_arrhythmic {
        " arrhythmia ".fg(Color::LightRed)
    } else {
        "".into()
    };
    let block = framed(" pulse signal ").title(Line::from(state).alignment(Alignment::Right));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [labels, plot] = Layout::horizontal([Constraint::Length(7), Constraint::Fill(1)]).areas(inner);
    let window = Window::new(&picture.wave, picture.now, WAVE_SECONDS);
    let (low, high) = (window.low, window.high);
    frame.render_widget(window.canvas(Color::LightGreen), plot);
    let label = |value: f64| Line::from(format!("{value:.2} V")).fg(FRAME_COLOUR);
    frame.render_widget(label(high), Rect { height: labels.height.min(1), ..labels });
    let bottom = Rect { y: labels.bottom().saturating_sub(1), height: labels.height.min(1), ..labels };
    frame.render_widget(label(low), bottom);
}

/// The address of the configuration page, and its code where there is room.
fn draw_page(frame: &mut Frame<'_>, area: Rect, url: &str) {
    let block = framed(" configuration page ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let code: Vec<_> = Label::screen(&[url]).map(|label| label.lines(true).collect()).unwrap_or_default();
    let side = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
    let width = code.first().map_or(0, |line: &String| side(line.chars().count()));
    let has_room = side(code.len()) <= inner.height && width < inner.width / 2;
    let width = if has_room { width } else { 0 };
    let [left, _, right] =
        Layout::horizontal([Constraint::Length(width), Constraint::Length(2), Constraint::Fill(1)])
            .areas(inner);
    let on_white = Style::new().fg(Color::Black).bg(Color::White);
    let code: Vec<_> = code.into_iter().map(|line| Line::from(line).style(on_white)).collect();
    frame.render_widget(Text::from(code), left);
    let letters: Vec<char> = url.chars().collect();
    let mut lines = vec![Line::from("Open this address in a browser of this computer:".fg(FRAME_COLOUR))];
    let pieces = letters.chunks(usize::from(right.width.max(1)));
    lines.extend(pieces.map(|piece| Line::from(piece.iter().collect::<String>().bold())));
    lines.push(Line::from("What follows # is the setup key; it stays in the browser.".fg(FRAME_COLOUR)));
    frame.render_widget(Text::from(lines), right);
}

/// A value's name, the numbers that raise and lower it, unit and sensor.
const VALUES: [(&str, &str, &str, Option<Sensor>); ADJUSTABLE.len()] = [
    ("body temperature", " 1  2", "°C", Some(Sensor::Temperature)),
    ("MCU temperature", " 3  4", "°C", None),
    ("MPU temperature", " 5  6", "°C", Some(Sensor::Movement)),
    ("acceleration x", " 7  8", "g", Some(Sensor::Movement)),
    ("acceleration y", " 9 10", "g", Some(Sensor::Movement)),
    ("acceleration z", "11 12", "g", Some(Sensor::Movement)),
    ("heart rate", "     ", "/min", None),
];

fn draw_values(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let block = framed(" + −  values ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Knobs { celsius_steps: [body, mcu, mpu], g_steps: [x, y, z], rate_steps, .. } = picture.knobs;
    let changed = [
        f64::from(body) * 0.5,
        f64::from(mcu) * 0.5,
        f64::from(mpu) * 0.5,
        f64::from(x) * 0.1,
        f64::from(y) * 0.1,
        f64::from(z) * 0.1,
        f64::from(rate_steps) * 5.0,
    ];
    let rows = VALUES.iter().zip(picture.values).zip(changed).enumerate();
    let text: Vec<Line<'_>> = rows
        .map(|(place, (((name, numbers, unit, sensor), value), changed))| {
            let is_unplugged = sensor.is_some_and(|sensor| picture.is_unplugged(sensor));
            let decimals = if *unit == "g" { 2 } else { 1 };
            let value = match value {
                _ if is_unplugged => "unplugged".fg(Color::Yellow),
                None => "recorded".fg(FRAME_COLOUR),
                Some(value) => format!("{value:.decimals$} {unit}").bold(),
            };
            let change = match changed == 0.0 {
                true => "".into(),
                false => Span::from(format!("{changed:+.1}")).fg(Color::LightCyan),
            };
            let row = Line::from(vec![
                Span::from(format!("{numbers}  ")).fg(FRAME_COLOUR),
                Span::from(format!("{name:<17}")),
                Span::from(format!("{:>10}  ", value.content)).style(value.style),
                change,
            ]);
            if place == picture.selected { row.style(Style::new().bg(Color::Indexed(236))) } else { row }
        })
        .collect();
    frame.render_widget(Text::from(text), inner);
}

fn draw_device(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let block = framed(" device ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let state = &picture.state;
    let width = usize::from(inner.width);
    let label = |name: &'static str| name.fg(FRAME_COLOUR);
    let mut lines = activity_lines(picture, width);
    let network = match &state.wifi_name {
        _ if !picture.has_network => "gone".fg(Color::Yellow),
        Some(name) => Span::from(name.as_str()),
        None => "not set up".fg(FRAME_COLOUR),
    };
    lines.push(Line::from(vec![label("Wi-Fi   "), network]));
    let server = state.server.as_deref().map_or("not set up".fg(FRAME_COLOUR), Span::from);
    lines.push(Line::from(vec![label("server  "), server]));
    if state.mode == Mode::Collector {
        let taken = format!("{} {}", state.delivered, state.delivered_unit);
        lines.push(Line::from(vec![label("taken   "), Span::from(taken)]));
        let missed = format!("{} held, {} values missed", state.held, state.missed_values);
        lines.push(Line::from(vec![label("        "), Span::from(missed)]));
    }
    let switch = match picture.switch {
        Switch::Configuration => "configuration",
        Switch::Collector => "collector",
        Switch::Between => "between",
    };
    lines.push(Line::from(vec![label("switch  "), format!("{switch}, start {}", state.starts).into()]));
    frame.render_widget(Text::from(lines), inner);
}

/// What it does, and what is wrong when something is, in as many lines as that takes.
fn activity_lines(picture: &Picture, width: usize) -> Vec<Line<'static>> {
    let state = &picture.state;
    let (text, colour) = match (state.activity, state.trouble) {
        (Activity::Configuring, None) => ("configuration mode", Color::LightMagenta),
        (Activity::Delivering, None) => ("delivers", Color::LightGreen),
        (_, Some(trouble)) => (trouble.text(), Color::Yellow),
        (Activity::Starting, None) => ("starts", Color::Yellow),
        (Activity::Joining, None) => ("joins its Wi-Fi network", Color::Yellow),
        (Activity::Connecting, None) => ("connects to its server", Color::Yellow),
    };
    let again = match (state.trouble, state.activity) {
        (Some(_), Activity::Joining | Activity::Connecting | Activity::Starting) => "; it tries again",
        _ => "",
    };
    let lines = wrap(&format!("{text}{again}"), width.max(1));
    lines.into_iter().map(|line| Line::from(line.bold().fg(colour))).collect()
}

fn keys_lines(picture: &Picture) -> [Line<'static>; 2] {
    let key = |key: &'static str, is_on: bool| {
        let span = Span::from(key).bold();
        if is_on { span.fg(Color::Black).bg(Color::Yellow) } else { span }
    };
    let word = |word: &'static str| Span::from(word).fg(FRAME_COLOUR);
    let entry = if picture.has_entry { "1_".bold().fg(Color::LightCyan) } else { "1…12".bold() };
    let first = Line::from(vec![
        " ".into(),
        entry,
        word(" or "),
        "↑↓ ←→".bold(),
        word(" value  "),
        key("a", picture.knobs.is_arrhythmic),
        word(" arrhythmia  unplug "),
        key("t", picture.is_unplugged(Sensor::Temperature)),
        word(" temperature "),
        key("p", picture.is_unplugged(Sensor::Pulse)),
        word(" pulse "),
        key("m", picture.is_unplugged(Sensor::Movement)),
        word(" motion"),
    ]);
    let second = Line::from(vec![
        " ".into(),
        key("n", !picture.has_network),
        word(" network off  "),
        key("s", picture.switch == Switch::Configuration),
        word(" mode switch  "),
        "q".bold(),
        word(" stop   simulated; not a medical device"),
    ]);
    [first, second]
}

/// A rounded box with a title.
fn framed(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(FRAME_COLOUR))
        .title(title)
        .padding(Padding::horizontal(1))
}

#[cfg(test)]
mod tests;
