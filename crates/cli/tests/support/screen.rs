//! A program on a terminal of its own: what it draws is kept, and keys can be pressed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use vitalwire_testing::program::{Running, until, wait};

/// The program and its terminal.
pub struct Screen {
    running: Running,
    keys: File,
    drawn: Arc<Mutex<Vec<u8>>>,
}

impl Screen {
    /// Starts the program on a terminal of this size.
    pub fn start(mut command: Command, columns: u16, lines: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal =
            File::from(rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, kept) = (keys.try_clone().unwrap(), Arc::clone(&drawn));
        // Someone must look, or the program could not draw. It ends with the terminal.
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(len @ 1..) = screen.read(&mut bytes) {
                kept.lock().unwrap().extend_from_slice(bytes.get(..len).unwrap());
            }
        });
        Self { running: Running(child), keys, drawn }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// All that was drawn so far, with what steers the terminal.
    pub fn drawn(&self) -> String {
        String::from_utf8_lossy(&self.drawn.lock().unwrap()).into_owned()
    }

    /// Waits until these words were drawn in one go.
    #[track_caller]
    pub fn until(&self, words: &str) {
        until(words, || self.drawn().contains(words));
    }

    /// Waits until the program has ended.
    pub fn ended(mut self) -> ExitStatus {
        wait(&mut self.running.0)
    }
}
