//! `vitalwire simulate pico`: the desk device on a whole screen, and keys that change patient, sensors, network and switch. The
//! device runs on a thread of its own; this one draws and listens. What a person sees of the patient is what the sensors see.

mod keys;
mod view;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use keys::Menu;
use view::Picture;
use vitalwire_simulator::desk::DeskHandle;

use crate::terminal::{Screen, is_quit};

/// How often the screen is drawn: smooth for the eye, a few percent of one core.
const FRAME: Duration = Duration::from_millis(66);

/// What the screen says besides the device's state.
pub(crate) struct About {
    /// The device's name or link id.
    pub(crate) name: String,
    /// What it speaks.
    pub(crate) protocol: &'static str,
    /// The address of its configuration page, with the setup key, while it is served.
    pub(crate) page_url: Box<dyn Fn(SocketAddr) -> String + Send>,
}

/// Draws until the person leaves or the device has ended.
///
/// # Errors
/// When the terminal fails.
pub(crate) fn show(desk: &DeskHandle, about: &About, has_ended: impl Fn() -> bool) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut menu = Menu::default();
    while !has_ended() {
        let picture = Picture::take(desk, about, &menu);
        screen.terminal.draw(|frame| view::draw(frame, &picture))?;
        let key = if event::poll(FRAME)? { Some(event::read()?) } else { None };
        let now = Instant::now();
        menu.settle(now).into_iter().for_each(|action| action.apply(desk));
        if let Some(Event::Key(key)) =
            key.filter(|event| !matches!(event, Event::Key(key) if key.kind == KeyEventKind::Release))
        {
            if is_quit(&key) {
                break;
            }
            menu.press(key.code, now).into_iter().for_each(|action| action.apply(desk));
        }
    }
    Ok(())
}
