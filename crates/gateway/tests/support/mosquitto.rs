//! Debian's mosquitto as an external broker.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpStream;
use vitalwire_gateway::{BrokerChoice, ExternalBroker, Limits};

use super::{Clinic, PASSWORD};

/// A mosquitto of our own, ended when dropped.
pub struct Mosquitto {
    child: Child,
    pub port: u16,
}

impl Mosquitto {
    pub async fn start(folder: &Path, port: u16) -> Self {
        Self::start_with(folder, port, "").await
    }

    pub async fn start_with(folder: &Path, port: u16, settings: &str) -> Self {
        let (config, passwords) = (folder.join("mosquitto.conf"), folder.join("passwords"));
        if !passwords.exists() {
            let mut made = Command::new("mosquitto_passwd");
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
        let program =
            if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(program).arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let mosquitto = Self { child, port };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        mosquitto
    }

    /// Ends it the ordinary way, so that it writes its sessions.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub async fn clinic_with(port: u16) -> Clinic {
    clinic_at(&format!("mqtt://watcher@127.0.0.1:{port}"), None).await
}

pub async fn clinic_at(url: &str, ca: Option<PathBuf>) -> Clinic {
    let mut clinic = Clinic::closed();
    let mut broker = ExternalBroker::from_url(url, SecretString::from(PASSWORD)).unwrap();
    broker.ca = ca;
    clinic.start(Limits::default(), Some(BrokerChoice::External(broker))).await;
    clinic
}
