//! Alarms on the screen: a text that needs no colour, and the colour of its priority (IEC 60601-1-8: red, yellow, cyan).

use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use vitalwire_vitals::alarm::Priority;

use super::super::findings::{Alarms, OpenAlarm};

/// The colours of a priority. What someone has acknowledged, or what is over, is written in the colour, not on it.
fn style(priority: Priority, calls: bool) -> Style {
    let colour = match priority {
        Priority::High => Color::LightRed,
        Priority::Medium => Color::LightYellow,
        Priority::Low => Color::LightCyan,
    };
    if calls { Style::new().fg(Color::Black).bg(colour).bold() } else { Style::new().fg(colour) }
}

/// One alarm.
fn span(alarm: &OpenAlarm) -> Span<'static> {
    let state = match (alarm.is_active, alarm.is_acknowledged) {
        (true, false) => "",
        (true, true) => ", acknowledged",
        (false, false) => ", over",
        (false, true) => ", over, acknowledged",
    };
    let calls = alarm.is_active && !alarm.is_acknowledged;
    Span::from(format!(" {}{state} ", alarm.text)).style(style(alarm.priority, calls))
}

fn silenced(alarms: &Alarms) -> Option<Span<'static>> {
    Some(Span::from(format!(" {} ", alarms.silenced.as_deref()?)).reversed())
}

/// All of a patient's; nothing when there are none.
pub(super) fn all(alarms: &Alarms) -> Vec<Span<'static>> {
    silenced(alarms).into_iter().chain(alarms.open.iter().map(span)).collect()
}

/// The most urgent one, and how many more; nothing when there is none.
pub(super) fn first(alarms: &Alarms) -> Option<Line<'static>> {
    let mut spans: Vec<_> = silenced(alarms).into_iter().chain(alarms.open.first().map(span)).collect();
    if let more @ 1.. = alarms.open.len().saturating_sub(1) {
        spans.push(Span::from(format!(" +{more} ")));
    }
    (!spans.is_empty()).then(|| Line::from(spans))
}

/// How many there are in all.
pub(super) fn count(alarms: Option<(usize, Priority)>) -> Option<Span<'static>> {
    let (count, priority) = alarms?;
    let noun = if count == 1 { "alarm" } else { "alarms" };
    Some(Span::from(format!(" {} {count} {noun} ", priority.marks())).style(style(priority, true)))
}
