//! The terminal: whether there is one, asking for a password without showing it, and the full-screen mode that
//! is always left again. Knows nothing of what is shown.

use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::DefaultTerminal;
use secrecy::SecretString;

use crate::output::note;

/// Whether a person looks at standard output and can press keys.
pub(crate) fn is_interactive() -> bool {
    std::io::stdout().is_terminal()
        && std::io::stdin().is_terminal()
        && std::env::var("TERM").map_or(true, |term| term != "dumb")
}

/// The whole screen, given back when this value is dropped; a panic gives it back too.
pub(crate) struct Screen {
    pub(crate) terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the whole screen.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn take() -> anyhow::Result<Self> {
        // `try_init` also installs a panic hook that restores the terminal before the message is printed.
        let terminal =
            ratatui::try_init().context("cannot draw on this terminal; try without it: `… | cat`")?;
        Ok(Self { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // `ratatui::restore` would panic when the terminal is gone.
        let _ = ratatui::try_restore();
    }
}

/// Whether the key means "I want to leave".
pub(crate) fn is_quit(key: &KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// Raw mode, left again when this value is dropped.
struct RawMode;

impl RawMode {
    fn enter() -> anyhow::Result<Self> {
        enable_raw_mode().context("cannot switch off the terminal's echo")?;
        Ok(Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing more can be done on the way out.
        let _ = disable_raw_mode();
    }
}

/// Writes words that a person answers on the same line.
///
/// # Errors
/// When the person would not see them.
pub(crate) fn prompt(words: &str) -> anyhow::Result<()> {
    let mut terminal = std::io::stderr();
    write!(terminal, "{words}").and_then(|()| terminal.flush()).context("cannot write to the terminal")
}

/// Asks for a password on the terminal; shows nothing of it.
///
/// # Errors
/// When the person leaves with Ctrl-C, or the terminal cannot be read.
pub(crate) fn ask_password(prompt: &str) -> anyhow::Result<SecretString> {
    self::prompt(prompt)?;
    let raw = RawMode::enter()?;
    let answer = read_hidden_line();
    drop(raw);
    note!("");
    let text = answer?;
    if text.is_empty() {
        bail!("the password is empty");
    }
    Ok(text.into())
}

fn read_hidden_line() -> anyhow::Result<String> {
    let mut text = String::new();
    loop {
        let Event::Key(key) = event::read().context("cannot read the terminal")? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Ok(text),
            KeyCode::Char('c' | 'd') if control => bail!("left without a password; nothing was changed"),
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char(letter) => text.push(letter),
            KeyCode::Backspace => {
                text.pop();
            }
            _ => {}
        }
    }
}
