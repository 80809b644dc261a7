//! Debian's mosquitto: a broker of the test's own, and its clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{ChildStdout, Command};

use crate::{LOOK, PASSWORD, PATIENCE};

/// A mosquitto that ends when this is dropped.
pub struct Mosquitto {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Mosquitto {
    /// With its files in this folder, for the user `watcher` alone.
    pub async fn start(folder: &Path, port: u16) -> Self {
        Self::start_with(folder, port, "").await
    }

    /// With more lines of settings.
    pub async fn start_with(folder: &Path, port: u16, settings: &str) -> Self {
        let (config, passwords) = (folder.join("mosquitto.conf"), folder.join("passwords"));
        if !passwords.exists() {
            let mut made = std::process::Command::new("mosquitto_passwd");
            made.args(["-b", "-c"]).arg(&passwords).args(["watcher", PASSWORD]);
            assert!(made.status().expect("mosquitto is installed (apt-get install mosquitto)").success());
        }
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 0\nuser root\n{settings}",
            passwords.display(),
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = program().arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let mosquitto = Self { child, port };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("mosquitto listens");
        mosquitto
    }

    /// Ends it the ordinary way, so that it writes its sessions.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The broker's program, which lies where ordinary users do not look.
pub fn program() -> std::process::Command {
    let installed = "/usr/sbin/mosquitto";
    std::process::Command::new(if Path::new(installed).exists() { installed } else { "mosquitto" })
}

/// A `mosquitto_sub` or `mosquitto_pub` command for this user.
pub fn client(program: &str, address: SocketAddr, user: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.args(["-u", user, "-P", PASSWORD]).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a client to its end.
pub async fn run(mut command: Command) -> Output {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the client ends");
    output.expect("mosquitto's clients are installed (apt-get install mosquitto-clients)")
}

/// A running `mosquitto_sub -d -v`, line by line.
pub struct Subscriber {
    /// The client.
    pub child: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Connects, and returns when SUBACK has come.
    pub async fn start(address: SocketAddr, user: &str, options: &[&str]) -> Self {
        let mut subscriber = Self::connect(address, user, options);
        subscriber.line_with("Subscribed").await;
        subscriber
    }

    /// Waits for no answer.
    pub fn connect(address: SocketAddr, user: &str, options: &[&str]) -> Self {
        let client = client("mosquitto_sub", address, user);
        // Line buffered: otherwise its output comes when it ends.
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg("mosquitto_sub").args(client.as_std().get_args());
        command.args(["-d", "-v"]).args(options).kill_on_drop(true).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that holds the text; `None` when the client ended before.
    pub async fn find(&mut self, text: &str) -> Option<String> {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line with {text:?}"))
    }

    /// The next line that holds the text; the client must not end before.
    pub async fn line_with(&mut self, text: &str) -> String {
        self.find(text).await.unwrap_or_else(|| panic!("the client ended before {text:?}"))
    }

    /// Ends it without a goodbye to the broker.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
