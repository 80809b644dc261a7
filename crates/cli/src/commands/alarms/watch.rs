//! `vitalwire alarms watch`: asks the server twice a second, and tells what is another than before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use clap::Args;
use crossterm::event::{self, Event};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use serde::Serialize;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{AlarmList, Alarms, ControlError};
use vitalwire_vitals::alarm::{AlarmState, Priority};

use super::shown::{self, Row, Shown, time, utc_us};
use crate::output::{Output, note};
use crate::signals::asked_to_stop;
use crate::terminal::{self, Screen};

pub(super) const HELP: &str = "\
Examples:
  vitalwire alarms watch --data ./data
  vitalwire alarms watch --data ./data --json | jq -c '[.change, .text]'

On a terminal a table that stays up to date; q leaves. Elsewhere, or with
--lines, a line for what is open, and one a change: raised, heightened,
returned, acknowledged, escalated, ended, closed; and pauses. While the server
is away it says so and goes on asking. It shows patients' values: mind where
you pipe it.";

/// How often the server is asked.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a key is waited for.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Whose alarms, and in what form.
#[derive(Debug, Args)]
pub(crate) struct WatchAlarms {
    /// The data folder of the server
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    data: PathBuf,
    /// Of this device alone
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// A line a change also on a terminal
    #[arg(long)]
    lines: bool,
}

pub(super) fn run(args: &WatchAlarms, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(asked_to_stop());
        asked.store(true, Ordering::Relaxed);
    })?;
    if args.json || args.lines || !terminal::is_interactive() {
        print_lines(args, &stop, out)?;
    } else {
        show_table(args, &stop)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the server says.
struct Answer {
    open: Vec<Shown>,
    /// Of those whose alarms are paused or off.
    silences: Silences,
    is_recorded: bool,
}

fn ask(args: &WatchAlarms) -> Result<Answer, ControlError> {
    Ok(of(vitalwire_gateway::alarms(&args.data)?, args.device.as_ref()))
}

fn of(alarms: Alarms, device: Option<&DeviceId>) -> Answer {
    let wanted = |list: &AlarmList| device.is_none_or(|device| *device == list.device);
    let (mut open, mut silences) = (Vec::new(), BTreeMap::new());
    for list in alarms.patients.into_iter().filter(wanted) {
        let device = list.device.to_string();
        let shown = |alarm| Shown { device: Some(device.clone()), alarm };
        open.extend(list.alarms.into_iter().map(shown));
        if list.state != AlarmState::On {
            silences.insert(device, (list.state, list.until_us));
        }
    }
    let server = alarms.ward.server.into_iter().filter(|_| device.is_none());
    open.extend(server.map(|alarm| Shown { device: None, alarm }));
    shown::sort(&mut open);
    // A server that has just started has told nothing yet.
    let is_recorded = alarms.ward.is_recorded || alarms.ward.time_us == 0;
    Answer { open, silences, is_recorded }
}

fn print_lines(args: &WatchAlarms, stop: &AtomicBool, out: &mut Output<'_>) -> anyhow::Result<()> {
    let mut known: Option<BTreeMap<u64, Shown>> = None;
    let mut silences = BTreeMap::new();
    let (mut is_away, mut was_recorded) = (false, true);
    while !stop.load(Ordering::Relaxed) {
        match ask(args) {
            Ok(answer) => {
                let now: BTreeMap<u64, Shown> =
                    answer.open.into_iter().map(|shown| (shown.alarm.number, shown)).collect();
                for (change, shown) in changes(known.as_ref(), &now) {
                    print_line(args.json, change, shown, out)?;
                }
                print_silences(args.json, &silences, &answer.silences, out)?;
                if was_recorded && !answer.is_recorded {
                    note!("the server cannot write alarms down: look at its disk");
                }
                out.flush()?;
                (known, silences) = (Some(now), answer.silences);
                (is_away, was_recorded) = (false, answer.is_recorded);
            }
            Err(ControlError::NoServer(_)) => {
                if !is_away {
                    note!("no server watches {}; waiting for it", args.data.display());
                }
                is_away = true;
            }
            Err(error) => return Err(error.into()),
        }
        pause(stop);
    }
    Ok(())
}

type Silences = BTreeMap<String, (AlarmState, Option<i64>)>;

/// Whose alarms are silenced in another way than before.
fn print_silences(
    is_json: bool,
    before: &Silences,
    now: &Silences,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    let on = (AlarmState::On, None);
    let over = before.keys().filter(|device| !now.contains_key(*device)).map(|device| (device, on));
    let silenced = now.iter().filter(|(device, state)| before.get(*device) != Some(*state));
    for (device, (state, until_us)) in over.chain(silenced.map(|(device, state)| (device, *state))) {
        let now_us = utc_us(SystemTime::now());
        let at = time(now_us);
        if is_json {
            let (state, until) = (state.name(), until_us.map(time));
            let told = serde_json::json!({"time": at, "change": "state", "device": device, "state": state, "until": until});
            writeln!(out, "{told}")?;
        } else {
            let words = shown::silence(device, state, until_us, now_us);
            writeln!(out, "{at}  {}", words.unwrap_or_else(|| format!("{device}: alarms are told again")))?;
        }
    }
    Ok(())
}

fn pause(stop: &AtomicBool) {
    let until = Instant::now() + INTERVAL;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(KEY_WAIT);
    }
}

/// A change for other programs.
#[derive(Serialize)]
struct Told {
    time: String,
    change: &'static str,
    #[serde(flatten)]
    alarm: Row,
}

fn print_line(
    is_json: bool,
    change: &'static str,
    shown: &Shown,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    let time = time(utc_us(SystemTime::now()));
    if is_json {
        let told = Told { time, change, alarm: Row::from(shown) };
        writeln!(out, "{}", serde_json::to_string(&told)?)?;
    } else {
        let device = shown.device.as_deref().unwrap_or("(server)");
        let by = shown.alarm.acknowledged.as_ref().filter(|_| change == "acknowledged");
        let by = by.map(|known| format!(" by {}", known.by)).unwrap_or_default();
        let number = shown.alarm.number;
        writeln!(out, "{time}  {device}  {}  {change}{by} ({number})", shown.alarm.text())?;
    }
    Ok(())
}

/// What is another than before. Without a before, all is `open`. Of what happened between two answers, the last is told.
fn changes<'s>(
    before: Option<&'s BTreeMap<u64, Shown>>,
    now: &'s BTreeMap<u64, Shown>,
) -> Vec<(&'static str, &'s Shown)> {
    let Some(before) = before else { return now.values().map(|shown| ("open", shown)).collect() };
    let closed = before.iter().filter(|(number, _)| !now.contains_key(number));
    let mut changes: Vec<_> = closed.map(|(_, shown)| ("closed", shown)).collect();
    for (number, shown) in now {
        let change = match before.get(number) {
            None => Some("raised"),
            Some(was) => change(was, shown),
        };
        changes.extend(change.map(|change| (change, shown)));
    }
    changes
}

fn change(was: &Shown, is: &Shown) -> Option<&'static str> {
    let (was, is) = (&was.alarm, &is.alarm);
    if is.returns > was.returns {
        Some("returned")
    } else if is.priority > was.priority {
        Some("heightened")
    } else if is.acknowledged.is_some() && was.acknowledged != is.acknowledged {
        Some("acknowledged")
    } else if was.is_active() && !is.is_active() {
        Some("ended")
    } else if was.escalated_us.is_none() && is.escalated_us.is_some() {
        Some("escalated")
    } else if is.priority < was.priority {
        Some("lowered")
    } else if was.announced_us != is.announced_us {
        Some("announced-again")
    } else {
        None
    }
}

fn show_table(args: &WatchAlarms, stop: &AtomicBool) -> anyhow::Result<()> {
    // A first answer, before the screen is taken: what is wrong is better read without it.
    let mut answer = Some(ask(args)?);
    let mut screen = Screen::take()?;
    let mut asked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        screen.terminal.draw(|frame| draw(frame, answer.as_ref()))?;
        if event::poll(KEY_WAIT)?
            && let Event::Key(key) = event::read()?
            && terminal::is_quit(&key)
        {
            break;
        }
        if asked.elapsed() >= INTERVAL {
            asked = Instant::now();
            answer = match ask(args) {
                Ok(answer) => Some(answer),
                Err(ControlError::NoServer(_)) => None,
                Err(error) => return Err(error.into()),
            };
        }
    }
    Ok(())
}

fn draw(frame: &mut Frame<'_>, answer: Option<&Answer>) {
    let [body, foot] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    let Some(answer) = answer else {
        frame.render_widget(
            Paragraph::new("No server watches: no alarm will be shown until it runs again."),
            body,
        );
        return frame.render_widget(Paragraph::new("q leaves"), foot);
    };
    let now_us = utc_us(SystemTime::now());
    let text = shown::table(&answer.open, now_us);
    // The line of an alarm is the one behind the head and those before it.
    let colours = std::iter::once(Style::new()).chain(answer.open.iter().map(style));
    let alarms = text.lines().zip(colours).map(|(line, style)| Line::styled(line.to_owned(), style));
    let silences = answer.silences.iter().filter_map(|(device, (state, until_us))| {
        shown::silence(device, *state, *until_us, now_us).map(Line::raw)
    });
    let disk = "The server cannot write alarms down: look at its disk.";
    let warning = (!answer.is_recorded).then(|| Line::styled(disk, Style::new().fg(Color::Red)));
    frame.render_widget(Paragraph::new(alarms.chain(silences).chain(warning).collect::<Vec<_>>()), body);
    let foot_text = format!("{}  {} open, q leaves", time(now_us), answer.open.len());
    frame.render_widget(Paragraph::new(foot_text), foot);
}

/// Red, yellow and cyan, as IEC 60601-1-8 has them; the marks say the same.
fn style(shown: &Shown) -> Style {
    let colour = match shown.alarm.priority {
        _ if !shown.alarm.is_calling() => return Style::new(),
        Priority::High => Color::Red,
        Priority::Medium => Color::Yellow,
        Priority::Low => Color::Cyan,
    };
    Style::new().fg(colour)
}

#[cfg(test)]
mod tests {
    use vitalwire_vitals::alarm::{Acknowledgement, Condition};

    use super::super::shown::tests::alarm;
    use super::*;

    fn map(alarms: &[Shown]) -> BTreeMap<u64, Shown> {
        alarms.iter().map(|shown| (shown.alarm.number, shown.clone())).collect()
    }

    #[test]
    fn tells_what_is_another_than_before() {
        let (one, two) =
            (alarm(1, Condition::RateHigh, Priority::Medium), alarm(2, Condition::Clock, Priority::Low));
        let words = |before: Option<&BTreeMap<u64, Shown>>, now: &[Shown]| -> Vec<String> {
            let now = map(now);
            changes(before, &now)
                .iter()
                .map(|(change, shown)| format!("{change} {}", shown.alarm.number))
                .collect()
        };
        assert_eq!(words(None, &[one.clone(), two.clone()]), ["open 1", "open 2"]);
        let before = map(&[one.clone(), two.clone()]);
        assert_eq!(words(Some(&before), &[one.clone(), two.clone()]), [""; 0]);
        assert_eq!(
            words(Some(&before), &[one.clone(), alarm(3, Condition::Battery, Priority::Low)]),
            ["closed 2", "raised 3"]
        );
        let with = |change: fn(&mut vitalwire_vitals::alarm::Alarm)| {
            let mut changed = one.clone();
            change(&mut changed.alarm);
            words(Some(&before), &[changed, two.clone()])
        };
        assert_eq!(with(|alarm| alarm.priority = Priority::High), ["heightened 1"]);
        assert_eq!(with(|alarm| alarm.ended_us = Some(1)), ["ended 1"]);
        assert_eq!(with(|alarm| alarm.returns = 1), ["returned 1"]);
        assert_eq!(with(|alarm| alarm.escalated_us = Some(1)), ["escalated 1"]);
        assert_eq!(with(|alarm| alarm.announced_us = Some(1)), ["announced-again 1"]);
        let known = |alarm: &mut vitalwire_vitals::alarm::Alarm| {
            alarm.acknowledged = Some(Acknowledgement { time_us: 1, by: "Ana".into(), reason: None });
        };
        assert_eq!(with(known), ["acknowledged 1"]);
    }
}
