//! What the tests of the real binary share: running it, a data folder, a server that is ready. Waits for facts, never
//! for time.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Beyond this a test has hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, without any setting of the caller's environment.
pub fn vitalwire() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitalwire"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    vitalwire().args(arguments).output().unwrap()
}

/// Runs it with something on standard input.
pub fn run_with_stdin(arguments: &[&str], input: &str) -> Output {
    let mut child = vitalwire()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A data folder made by `vitalwire init`, removed at the end.
pub struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    pub fn new() -> Self {
        let data = Self { folder: tempfile::tempdir().unwrap() };
        let made = run(&["init", "--data", data.path()]);
        assert!(made.status.success(), "{}", stderr(&made));
        data
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn path(&self) -> &str {
        // Leaked on purpose: a test's few bytes, for arguments that read well.
        Box::leak(self.folder().to_str().unwrap().to_owned().into_boxed_str())
    }

    /// A file beside the data folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command on this folder; it must succeed.
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = vitalwire().args(arguments).args(["--data", self.path()]).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    pub fn add_user(&self, name: &str, password: &str) {
        let arguments = ["user", "add", name, "--role", "reader", "--password-stdin", "--data", self.path()];
        let added = run_with_stdin(&arguments, password);
        assert!(added.status.success(), "{}", stderr(&added));
    }
}

/// A running `vitalwire serve` with ports of the system's choice, killed at the end.
pub struct Serve {
    child: Child,
    /// The line `listening devices=… mqtt=… …`.
    pub line: String,
}

impl Serve {
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, "127.0.0.1:0")
    }

    /// With the MQTT listener at an address.
    pub fn start_at(data: &Path, mqtt: &str) -> Self {
        Self::start_with(data, |command| {
            command.args(["--mqtt-listen", mqtt]);
        })
    }

    /// With more arguments or environment.
    pub fn start_with(data: &Path, more: impl FnOnce(&mut Command)) -> Self {
        let local = "127.0.0.1:0";
        let mut command = vitalwire();
        command
            .args(["serve", "--listen", local, "--metrics-listen", local])
            .args(["--mqtt-tls-listen", local, "--mqtt-websocket-listen", local, "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        more(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("serve ended before it was ready").unwrap();
        Self { child, line }
    }

    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
    }

    /// An address from the line, by its name.
    pub fn address(&self, name: &str) -> &str {
        let start = format!("{name}=");
        self.line.split(' ').find_map(|word| word.strip_prefix(start.as_str())).unwrap()
    }

    pub fn port(&self, name: &str) -> &str {
        self.address(name).rsplit(':').next().unwrap()
    }

    /// Sends SIGTERM and waits; how long it took, and the exit status.
    pub fn terminate(mut self) -> (Duration, std::process::ExitStatus) {
        let start = Instant::now();
        self.signal("TERM");
        let status = wait(&mut self.child);
        (start.elapsed(), status)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child of ours, killed at the end.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a child, but not for ever.
pub fn wait(child: &mut Child) -> std::process::ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "the program does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Looks again and again until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// The lines of a running program, waited for, but not for ever.
pub struct Lines {
    lines: mpsc::Receiver<String>,
}

impl Lines {
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

    /// The next line; none at the end.
    pub fn next(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it says nothing for {PATIENCE:?}"),
        }
    }

    /// Reads up to a line that is wanted, and gives back all of them.
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
