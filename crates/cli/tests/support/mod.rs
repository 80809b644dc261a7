//! What the tests of the real binary share: running it, a data folder, a server that is ready. Waits for facts, never
//! for time.

pub mod emqx_api;
pub mod screen;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use vitalwire_testing::program::wait;

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
        Self::start_with_page(data, "127.0.0.1:0", more)
    }

    /// The same with the dashboard at an address.
    pub fn start_with_page(data: &Path, dashboard: &str, more: impl FnOnce(&mut Command)) -> Self {
        let local = "127.0.0.1:0";
        let mut command = vitalwire();
        command
            .args(["serve", "--listen", local, "--metrics-listen", local, "--dashboard-listen", dashboard])
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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        vitalwire_testing::program::signal(&self.child, name);
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
    pub fn terminate(self) -> (Duration, std::process::ExitStatus) {
        self.ended_by("TERM")
    }

    /// The same with another signal.
    pub fn ended_by(mut self, name: &str) -> (Duration, std::process::ExitStatus) {
        let start = Instant::now();
        self.signal(name);
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
