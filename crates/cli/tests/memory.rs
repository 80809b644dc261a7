//! Memory that an attack took goes back to the system.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{Data, Serve};
use vitalwire_testing::program::until;

const CONNECTIONS: u64 = 4_000;
const LOGINS: u64 = 50;
/// How long after an attack memory may be above where it was.
const BACK_AFTER_MAX: Duration = Duration::from_secs(60);
/// What a password check takes, two at once, and what the rest of 50 logins may take.
const LOGINS_KIB: u64 = 2 * 19 * 1024 + 50 * 1024;

/// The beginning of a ClientHello that never goes on.
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// A line of the process's status, in KiB.
fn memory_kib(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    value.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// A number of the server's metrics.
fn metric(serve: &Serve, name: &str) -> u64 {
    let mut stream = TcpStream::connect(serve.address("metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

fn resident_kib(pid: u32) -> u64 {
    memory_kib(pid, "VmRSS")
}

/// Waits until no more than this is resident.
fn comes_back(pid: u32, bound_kib: u64, after: &str) {
    let end = Instant::now() + BACK_AFTER_MAX;
    while resident_kib(pid) > bound_kib {
        let resident = resident_kib(pid);
        assert!(Instant::now() < end, "{after}: {resident} KiB are resident, more than {bound_kib}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A CONNECT of MQTT 3.1.1 with a wrong password.
fn log_in(address: &str, number: u64) -> TcpStream {
    let user = format!("nurse{number}");
    let mut body = b"\0\x04MQTT\x04\xc2\0\x3c\0\0".to_vec();
    for text in [user.as_str(), "wrong password"] {
        body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[0x10, u8::try_from(body.len()).unwrap()]).unwrap();
    stream.write_all(&body).unwrap();
    stream
}

#[test]
fn memory_comes_back_after_half_handshakes_and_logins() {
    rlimit::increase_nofile_limit(CONNECTIONS + 500).unwrap();
    let data = Data::new();
    // None of the half handshakes ends by itself before all are there.
    std::fs::write(data.folder().join("vitalwire.toml"), "[devices]\nfirst_frame_ms_max = 600000\n").unwrap();
    let serve = Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-listen", "127.0.0.1:0"]).stderr(std::process::Stdio::null());
    });
    let pid = serve.pid();
    let open = |count: u64| -> Vec<TcpStream> {
        (0..count)
            .map(|_| {
                let mut stream = TcpStream::connect(serve.address("devices")).unwrap();
                stream.write_all(HALF_HELLO).unwrap();
                stream
            })
            .collect()
    };
    // What the first of their kind bring along stays.
    drop(open(50));
    let before = resident_kib(pid);

    let held = open(CONNECTIONS);
    until("the server has accepted them all", || metric(&serve, "vitalwire_connections_open") >= CONNECTIONS);
    println!("{CONNECTIONS} half handshakes: {before} KiB, then {} KiB", resident_kib(pid));
    drop(held);
    comes_back(pid, before * 11 / 10, "half handshakes");

    let before = resident_kib(pid);
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let mut logins: Vec<_> = (0..LOGINS).map(|number| log_in(serve.address("mqtt"), number)).collect();
    for login in &mut logins {
        let _ = login.read(&mut [0; 4]);
    }
    let most = memory_kib(pid, "VmHWM");
    assert!(most < before + LOGINS_KIB, "50 logins took {} KiB", most - before);
    drop(logins);
    comes_back(pid, before * 11 / 10, "logins");
}
