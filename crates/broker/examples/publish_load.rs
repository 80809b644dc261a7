//! Measures what a reading costs the broker: CPU of this process, from `/proc/self/stat`, with the subscriber in another
//! process. A reading is eight messages, the paper's seven values and one JSON document, as the gateway publishes them.
//!
//!     cargo run --release -p vitalwire-broker --example publish_load -- RATE_HZ SECONDS DEVICES [MODE]
//!
//! MODE: `qos0` (default) and `qos1`: `mosquitto_sub` to everything; `comes-and-goes`: the same at QoS 1 with a stored
//! session that is connected every other second; `absent`: its session only; `none`: no one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement may stop at the first surprise"
)]
#![allow(clippy::cast_possible_truncation, reason = "rates and counts of a measurement are small")]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitalwire_access::{PasswordHash, Role, Scope};
use vitalwire_broker::{Broker, BrokerConfig};
use vitalwire_registry::{Directory, LoginLimits, Logins, User};

const TOPICS: [&str; 7] = [
    "Physiological_Data/Temperature",
    "Physiological_Data/Pulse_Signal",
    "Physiological_Data/Accelerometer/x",
    "Physiological_Data/Accelerometer/y",
    "Physiological_Data/Accelerometer/z",
    "Internal_Device_Data/Temperature/MCU",
    "Internal_Device_Data/Temperature/MPU",
];
/// How often due readings are published, as a gateway woken by its sockets would.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without readings, to know what this program's own clockwork costs.
const IDLE_TICKS: u32 = 3_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: f64| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (rate_hz, seconds, devices) = (number(1, 1_000.0), number(2, 10.0), number(3, 50.0) as u64);
    let mode = arguments.get(4).map_or("qos0", String::as_str);
    let folder = std::env::temp_dir().join(format!("vitalwire-publish-load-{}", std::process::id()));
    let broker = start(&folder).await;
    let port = broker.addresses().plain.unwrap().port();
    let mut subscriber = match mode {
        "qos0" => Some(subscribe(port, &["-q", "0"])),
        "qos1" => Some(subscribe(port, &["-q", "1"])),
        "none" => None,
        _ => Some(subscribe(port, &["-q", "1", "-c", "-i", "load"])),
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    if mode == "absent" {
        stop(&mut subscriber);
    }
    let readings =
        publish(&broker, rate_hz, seconds, devices, mode == "comes-and-goes", &mut subscriber, port).await;
    stop(&mut subscriber);
    broker.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{readings}");
}

async fn start(folder: &std::path::Path) -> Broker {
    let password_hash = PasswordHash::new("measure it", b"publish load 123").unwrap();
    let role = Role::Reader { devices: Scope::All };
    let user = User { name: "load".parse().unwrap(), role, password_hash };
    let users = [(user.name.clone(), Arc::new(user))].into();
    let directory = Directory { users: Arc::new(users), ..Directory::default() };
    // The sender may go: no one changes.
    let (_, users) = tokio::sync::watch::channel(Arc::new(directory));
    let plain = Some(([127, 0, 0, 1], 0).into());
    let config = BrokerConfig { plain, ..BrokerConfig::new(folder) };
    Broker::start(config, Arc::new(Logins::new(users, LoginLimits::default()))).await.unwrap()
}

fn subscribe(port: u16, options: &[&str]) -> Child {
    Command::new("mosquitto_sub")
        .args([
            "-p",
            &port.to_string(),
            "-u",
            "load",
            "-P",
            "measure it",
            "-t",
            "Pico/#",
            "-t",
            "vitalwire/#",
        ])
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("mosquitto_sub must be installed (Debian: mosquitto-clients)")
}

fn stop(subscriber: &mut Option<Child>) {
    if let Some(mut child) = subscriber.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

async fn publish(
    broker: &Broker,
    rate_hz: f64,
    seconds: f64,
    devices: u64,
    comes_and_goes: bool,
    subscriber: &mut Option<Child>,
    port: u16,
) -> String {
    let names: Vec<String> = (0..devices).map(|device| format!("iot_med_dev_{device:03}")).collect();
    let json = bytes::Bytes::from(format!("{{\"time\":\"{}\"}}", "x".repeat(437)));
    let mut ticks = tokio::time::interval(TICK);
    let idle = cpu_seconds();
    for _ in 0..IDLE_TICKS {
        ticks.tick().await;
    }
    let tick_us = (cpu_seconds() - idle) / f64::from(IDLE_TICKS) * 1e6;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let (mut readings, mut longest) = (0_u64, Duration::ZERO);
    while started.elapsed().as_secs_f64() < seconds {
        ticks.tick().await;
        if comes_and_goes && subscriber.is_some() != (started.elapsed().as_secs() % 2 == 0) {
            match subscriber {
                Some(_) => stop(subscriber),
                None => *subscriber = Some(subscribe(port, &["-q", "1", "-c", "-i", "load"])),
            }
        }
        let due = (started.elapsed().as_secs_f64() * rate_hz) as u64;
        while readings < due {
            let name = &names[(readings % devices) as usize];
            let begun = Instant::now();
            for topic in TOPICS {
                let value = bytes::Bytes::from_static(b"36.600");
                broker.publish(format!("Pico/{name}/{topic}"), value, false);
            }
            broker.publish(format!("vitalwire/v1/{name}/reading"), json.clone(), false);
            longest = longest.max(begun.elapsed());
            readings += 1;
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let us = (cpu_seconds() - cpu) / readings as f64 * 1e6;
    let stats = broker.stats();
    format!(
        "{readings} readings at {rate_hz}/s: {us:.1} us CPU a reading, of which {:.1} us are this program's \
         ticks; {} of {} messages sent, {} dropped; longest publish \
         of a reading {} us; resident {} KiB",
        tick_us / (rate_hz * TICK.as_secs_f64()),
        stats.sent,
        stats.published,
        stats.dropped,
        longest.as_micros(),
        resident_kib()
    )
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
