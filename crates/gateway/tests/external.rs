//! An external broker: Debian's mosquitto carries the same topics; while it is away nothing is lost.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use support::{Clinic, JSON, PASSWORD, Subscriber, eleven_topics};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vitalwire_gateway::{BrokerChoice, ExternalBroker, Limits};
use vitalwire_protocol::Variant;

/// A mosquitto of our own, ended when dropped.
struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    async fn start(folder: &Path, port: u16) -> Self {
        let (config, passwords) = (folder.join("mosquitto.conf"), folder.join("passwords"));
        if !passwords.exists() {
            let mut made = Command::new("mosquitto_passwd");
            made.args(["-b", "-c"]).arg(&passwords).args(["watcher", PASSWORD]);
            assert!(made.status().expect("mosquitto is installed (apt-get install mosquitto)").success());
        }
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 0\nuser root\n",
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
    fn stop(mut self) {
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn clinic_with(port: u16) -> Clinic {
    let mut clinic = Clinic::closed();
    let url = format!("mqtt://watcher@127.0.0.1:{port}");
    let broker = ExternalBroker::from_url(&url, SecretString::from(PASSWORD)).unwrap();
    clinic.start(Limits::default(), Some(BrokerChoice::External(broker))).await;
    clinic
}

#[tokio::test]
async fn mosquitto_carries_the_same_eleven_topics() {
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let mut clinic = clinic_with(mosquitto.port).await;
    let device = clinic.enrol("iot_med_dev_01");
    let mut subscriber = Subscriber::connect(mosquitto.port, &["Pico/#", "vitalwire/v1/#"], true).await;
    let stream = device.connect_enrolled(&mut subscriber).await;
    let mut later = Subscriber::connect(mosquitto.port, &["Pico/#"], true).await;
    let mut stream = stream;
    stream.write_all(&device.frame(Variant::Chained, JSON)).await.unwrap();
    let seen = later.collect(&eleven_topics("iot_med_dev_01")).await;
    assert_eq!(seen["Pico/iot_med_dev_01/Physiological_Data/Pulse_Signal"], "1.802");
    assert_eq!(seen.len(), 11);
    let mut status = Subscriber::connect(mosquitto.port, &["vitalwire/v1/+/status"], true).await;
    assert_eq!(status.value("vitalwire/v1/iot_med_dev_01/status").await, "online");
    clinic.stop().await;
    assert_eq!(status.value("vitalwire/v1/iot_med_dev_01/status").await, "offline");
}

#[tokio::test]
async fn readings_wait_while_the_broker_is_away_and_arrive_in_order() {
    const READINGS: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let mosquitto = Mosquitto::start(folder.path(), free_port()).await;
    let port = mosquitto.port;
    let clinic = clinic_with(port).await;
    let device = clinic.enrol("d");
    let pulse = "Pico/d/Physiological_Data/Pulse_Signal";
    let mut subscriber = Subscriber::connect(port, &[pulse, "vitalwire/v1/d/reading"], false).await;
    let mut stream = device.connect_enrolled(&mut subscriber).await;
    subscriber.rest();
    let mut mosquitto = Some(mosquitto);
    for number in 0..READINGS {
        stream.write_all(&device.numbered(number)).await.unwrap();
        if number == READINGS / 4 {
            mosquitto.take().unwrap().stop();
        }
    }
    clinic.until("all readings are taken", |stats| stats.readings > READINGS as u64).await;
    assert!(clinic.server().stats().backlog > 0, "the gateway says that readings wait");
    let _mosquitto = Mosquitto::start(folder.path(), port).await;
    let mut expected = 0;
    while expected < READINGS {
        let value: usize = subscriber.value(pulse).await.parse().unwrap();
        // At least once: what was sent again may repeat, but nothing is missing.
        assert!(value <= expected, "{expected} is missing before {value}");
        expected = expected.max(value + 1);
    }
    clinic.until("nothing waits", |stats| stats.backlog == 0).await;
    assert_eq!(clinic.server().stats().dropped, 0);
}
