//! All values of a range, one a line, as they are read: never more than some pages of them in memory.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use vitalwire_gateway::{Page, Value};

use super::scope::View;
use crate::output::Output;

/// Pages that wait to be written. When full, no more are read: a pager may take its time.
const PAGES_WAITING_MAX: usize = 2;

/// Writes the values of a range.
///
/// # Errors
/// When the range or the channel makes no sense, the journal cannot be read, or nothing more can be written.
pub(super) async fn write(view: &View, json: bool, out: &mut Output<'_>) -> anyhow::Result<()> {
    let View { history, query, .. } = view;
    let (sender, mut pages) = mpsc::channel::<String>(PAGES_WAITING_MAX);
    if !json {
        writeln!(out, "{}", view.title())?;
        writeln!(out, "{:<27} {:>14} {:<8} uncertainty", "time (UTC)", "value", "unit")?;
    }
    let device = view.named_device().map(str::to_owned);
    let read = async {
        let hand_on = move |sender: &mut mpsc::Sender<String>, page: &Page<'_>| {
            match sender.blocking_send(lines(page, json, device.as_deref())) {
                Ok(()) => ControlFlow::Continue(()),
                // The writer gave up.
                Err(_) => ControlFlow::Break(()),
            }
        };
        // The sender goes with the fold, so that the writer comes to an end.
        history.fold(query, sender, hand_on).await?;
        anyhow::Ok(())
    };
    let written = async {
        while let Some(page) = pages.recv().await {
            write!(out, "{page}")?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(read, written)?;
    Ok(())
}

fn lines(page: &Page<'_>, json: bool, device: Option<&str>) -> String {
    let mut text = String::with_capacity(page.values.len() * 96);
    for value in page.values {
        let written =
            if json { json_line(&mut text, page, value, device) } else { line(&mut text, page, value) };
        written.expect("a String takes all");
    }
    text
}

fn line(text: &mut String, page: &Page<'_>, value: &Value) -> std::fmt::Result {
    let (time, unit) = (time(value), &page.channel.unit);
    // Padded here: a number prints its own digits, whatever width is asked for.
    let number = value.number.to_string();
    if value.is_unmapped() {
        writeln!(text, "{time} {number:>14} {unit:<8} at the latest")
    } else {
        writeln!(text, "{time} {number:>14} {unit:<8} ±{} ms", uncertainty_ms(value))
    }
}

/// The number as the device sent it: what devices may send is a number of JSON, too.
fn json_line(text: &mut String, page: &Page<'_>, value: &Value, device: Option<&str>) -> std::fmt::Result {
    // A device's name has no character that JSON would want in another form.
    let device = device.map_or_else(String::new, |device| format!(r#""device":"{device}","#));
    let unit = serde_json::Value::from(page.channel.unit.as_str());
    let unmapped = if value.is_unmapped() { r#","unmapped":true"# } else { "" };
    writeln!(
        text,
        r#"{{{device}"time":"{}","value":{},"unit":{unit},"uncertainty_ms":{}{unmapped}}}"#,
        time(value),
        value.number,
        uncertainty_ms(value)
    )
}

fn uncertainty_ms(value: &Value) -> u64 {
    value.uncertainty_us.div_ceil(1_000)
}

fn time(value: &Value) -> impl std::fmt::Display {
    let since = Duration::from_micros(u64::try_from(value.time_us).unwrap_or(0));
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since)
}
