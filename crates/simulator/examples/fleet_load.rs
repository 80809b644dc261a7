//! Measures what a fleet costs: CPU time a sample and memory a device, against a sink that only reads.
//!
//! `fleet_load sink ADDRESS` in one terminal, `fleet_load fleet ADDRESS DEVICES RATE_HZ SECONDS` in another.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use vitalwire_protocol::{CbcSecret, Variant};
use vitalwire_simulator::fleet::{FleetConfig, FleetDevice, FleetObserver, run_fleet};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["sink", address] => sink(address).await,
        ["fleet", address, devices, rate_hz, seconds] => {
            fleet(address, devices.parse()?, rate_hz.parse()?, seconds.parse()?).await
        }
        _ => Err("want: sink ADDRESS, or: fleet ADDRESS DEVICES RATE_HZ SECONDS".into()),
    }
}

async fn sink(address: &str) -> Result<(), Failure> {
    // Room for a whole fleet that connects at once; beyond it the kernel drops, and a retry takes a second.
    let socket = TcpSocket::new_v4()?;
    socket.bind(address.parse()?)?;
    let listener = socket.listen(4_096)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut buffer = vec![0; 4_096];
            while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        });
    }
}

async fn fleet(address: &str, devices: usize, rate_hz: f64, seconds: f64) -> Result<(), Failure> {
    let secret = CbcSecret::new([1; 16], [2; 16]);
    let device = |n| FleetDevice::frames(format!("dev_{n}"), secret.clone(), Variant::Chained);
    let config = FleetConfig {
        rate_hz,
        duration: Some(Duration::from_secs_f64(seconds)),
        ..FleetConfig::new((0..devices).map(device).collect(), address, 1)
    };
    let observer = FleetObserver::with_log_len(&config.devices, 64);
    let (memory_before_kib, cpu_before) = (resident_kib()?, cpu_seconds()?);
    let watched = Arc::clone(&observer);
    let report = run_fleet(config, observer, CancellationToken::new()).await?;
    let cpu = cpu_seconds()? - cpu_before;
    let slowest_connect = (0..devices)
        .filter_map(|place| watched.connections(place).first().map(|c| c.connected - c.connect_started))
        .max()
        .unwrap_or_default();
    println!("{report}");
    println!(
        "CPU             {:>9.1} us/sample, {:.0} % of a core",
        cpu / report.sent as f64 * 1e6,
        cpu / seconds * 100.0
    );
    println!("memory          {:>9.1} KiB/device", (resident_kib()? - memory_before_kib) / devices as f64);
    println!("slowest connect {slowest_connect:>12.1?}");
    Ok(())
}

/// User and system time of this process; the kernel counts in hundredths of a second.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let times: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).map_while(|t| t.parse().ok()).collect();
    Ok(times.iter().sum::<f64>() / 100.0)
}

/// The largest resident memory so far.
fn resident_kib() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.split_whitespace().nth(1).ok_or("VmHWM without a number")?.parse()?)
}
