//! Labels on the terminal that a person looks at.

pub(crate) use vitalwire_label::{
    Label, NETWORK, key_digits, key_line, page_url, setup_label, text, wifi_code,
};

use crate::output::{Output, OutputError};

/// Draws codes on the terminal that standard output is, or says that they do not fit.
pub(crate) fn draw_for_person(texts: &[&str], out: &mut Output<'_>) -> Result<(), OutputError> {
    let Ok(label) = Label::screen(texts) else { return Ok(()) };
    match misfit(&label) {
        Some(words) => writeln!(out, "{words}"),
        None => write!(out, "{}", label.terminal(true)),
    }
}

/// What to say when the code is larger than the terminal; half a code is of no use.
pub(crate) fn misfit(label: &Label) -> Option<String> {
    let (columns, lines) = label.size();
    let (width, height) = crossterm::terminal::size().ok()?;
    // The prompt takes a line.
    (columns > usize::from(width) || lines >= usize::from(height)).then(|| {
        format!("The code needs {columns} columns and {} lines; the terminal is {width}×{height}.", lines + 1)
    })
}
