//! Programs that a test starts: each ends with the test, by its own process id. For tests without a runtime.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{LOOK, PATIENCE, ROUNDS};

/// A program that is killed when this is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal such as `TERM` to a program that may have ended already.
pub fn signal(child: &Child, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
}

/// Waits until the program ends.
pub fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the program ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Waits until the condition holds; how long that took.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "did not come true: {what}");
        std::thread::sleep(LOOK);
    }
    started.elapsed()
}

/// Passes at the first round that takes no longer than this: a busy machine disturbs a round now and then.
pub fn quick(max: Duration, mut round: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let time = round();
        if time <= max {
            return;
        }
        took.push(time);
    }
    panic!("longer than {max:?} in each round: {took:?}");
}

/// The lines that a running program prints.
pub struct Lines {
    lines: mpsc::Receiver<String>,
}

impl Lines {
    /// Reads the stream in a thread, so that the program never waits for the test.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        // It ends with the program, or with the test.
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines }
    }

    /// The next line; `None` at the end.
    pub fn next(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it says nothing for {PATIENCE:?}"),
        }
    }

    /// Reads up to a line that is wanted, and returns all of them.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_wanted: impl FnMut(&str) -> bool) -> String {
        let mut seen = String::new();
        for _ in 0..20_000 {
            let Some(line) = self.next() else { panic!("it ended without {what}:\n{seen}") };
            seen = seen + &line + "\n";
            if is_wanted(&line) {
                return seen;
            }
        }
        panic!("never: {what}");
    }
}
