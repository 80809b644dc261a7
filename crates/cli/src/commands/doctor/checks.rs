//! The single checks. Each looks at one thing and says what to do about it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vitalwire_broker::TlsIdentity;
use vitalwire_registry::{Directory, RegistryError};

use super::{Finding, fail, ok, warn};
use crate::config::{BrokerSettings, Settings, TlsSettings};
use crate::{data, limits};

/// 2025-01-01: this program is younger.
const CLOCK_MIN: Duration = Duration::from_secs(1_735_689_600);
/// 2100-01-01.
const CLOCK_MAX: Duration = Duration::from_secs(4_102_444_800);
const CLOCK_WATCHED: Duration = Duration::from_millis(50);
const CLOCK_STEP_MAX: Duration = Duration::from_millis(50);
/// Below this many open files a ward's devices do not fit.
const OPEN_FILES_WANTED: u64 = 4_096;
/// Renewing takes people time.
const CERTIFICATE_DAYS_WARN: i32 = 30;
const HEALTH_PATIENCE: Duration = Duration::from_millis(500);

/// The clock stamps readings: it must be about right, and it must not jump.
pub(super) fn clock() -> Finding {
    let (wall, steady) = (SystemTime::now(), Instant::now());
    let Ok(now) = wall.duration_since(UNIX_EPOCH) else {
        return fail("clock", "the clock stands before 1970: set it, and keep it with NTP");
    };
    let shown = humantime::format_rfc3339_seconds(wall);
    if now < CLOCK_MIN || now > CLOCK_MAX {
        return fail("clock", format!("the clock says {shown}: set it, and keep it with NTP"));
    }
    std::thread::sleep(CLOCK_WATCHED);
    let passed = steady.elapsed();
    let shown_passed = wall.elapsed().unwrap_or_default();
    if passed.abs_diff(shown_passed) > CLOCK_STEP_MAX {
        return warn(
            "clock",
            format!("the clock jumped while it was watched ({shown}): is NTP stepping it?"),
        );
    }
    ok("clock", format!("{shown}, steady"))
}

/// Every device is a socket, and every socket a file.
pub(super) fn open_files() -> Finding {
    match limits::open_files() {
        Some((_, hard)) if hard >= OPEN_FILES_WANTED => {
            ok("open files", format!("up to {hard}: one for each device and MQTT client"))
        }
        Some((_, hard)) => warn(
            "open files",
            format!(
                "at most {hard}, so fewer devices and clients: raise it (`ulimit -Hn`, LimitNOFILE= in systemd)"
            ),
        ),
        None => warn("open files", "the limit cannot be read: look at `ulimit -n`"),
    }
}

/// Each address that `serve` would listen on.
pub(super) fn ports(settings: &Settings) -> Vec<Finding> {
    let mut wanted = vec![("devices", settings.devices)];
    wanted.extend(settings.metrics.map(|address| ("metrics", address)));
    if let BrokerSettings::Embedded { plain, tls, websocket, .. } = &settings.broker {
        wanted.extend(plain.map(|address| ("MQTT", address)));
        wanted.extend(tls.as_ref().map(|tls| ("MQTT TLS", tls.address)));
        wanted.extend(websocket.map(|address| ("WebSocket", address)));
    }
    let running = settings.metrics.is_some_and(answers_health);
    wanted.into_iter().map(|(name, address)| port(name, address, running)).collect()
}

fn port(name: &str, address: SocketAddr, running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => ok("ports", format!("{address} is free for {name}")),
        Err(_) if running => {
            ok("ports", format!("{address} is in use for {name} by the vitalwire that runs here"))
        }
        Err(error) => fail(
            "ports",
            format!("{address} is not free for {name} ({error}): stop what uses it, or choose another"),
        ),
    }
}

/// Whether a server of ours runs already: then its ports are rightly in use.
fn answers_health(metrics: SocketAddr) -> bool {
    let answer = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&metrics, HEALTH_PATIENCE)?;
        stream.set_read_timeout(Some(HEALTH_PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = Vec::new();
        // A strange server may send without end.
        stream.take(64 * 1024).read_to_end(&mut text)?;
        Ok(text.windows(9).any(|window| window == b"vitalwire"))
    };
    answer().unwrap_or(false)
}

/// Folder, master key, registry and what is in it.
pub(super) fn data_folder(folder: &Path, master_key: Option<&Path>) -> Vec<Finding> {
    let registry = match data::open(folder, master_key) {
        Ok(registry) => registry,
        Err(error) => return vec![fail("data", format!("{error:#}"))],
    };
    let mut findings =
        vec![ok("data", format!("{}: permissions are right, the master key opens it", folder.display()))];
    match registry.directory() {
        Ok(directory) => findings.extend(contents(&directory)),
        Err(error) => findings.push(broken(&error)),
    }
    findings
}

fn broken(error: &RegistryError) -> Finding {
    fail("registry", error.to_string())
}

fn contents(directory: &Directory) -> Vec<Finding> {
    let (devices, users) = (directory.devices.len(), directory.users.len());
    let mut findings = vec![
        match devices {
            0 => warn("devices", "none is enrolled: `vitalwire device add NAME` or `device import FILE`"),
            _ => ok("devices", format!("{devices} enrolled")),
        },
        match users {
            0 => {
                warn("users", "none, so no one can read: `vitalwire user add NAME --role reader --generate`")
            }
            _ => ok("users", format!("{users} may log in")),
        },
    ];
    findings.extend(directory.broken.iter().map(|(row, cause)| {
        fail("registry", format!("{row} cannot be used: {cause}; remove and add it again"))
    }));
    findings
}

/// How long MQTT over TLS still works.
pub(super) fn certificate(tls: Option<&TlsSettings>) -> Finding {
    let Some(tls) = tls else {
        return warn("certificate", "none, so MQTT is for this machine only: --tls-cert and --tls-key");
    };
    let path = tls.certificate.display();
    let identity = TlsIdentity { certificate: tls.certificate.clone(), key: tls.key.clone() };
    match identity.days_left() {
        Ok(days) if days < 0 => fail("certificate", format!("{path} has expired: renew it")),
        Ok(days) if days < CERTIFICATE_DAYS_WARN => {
            warn("certificate", format!("{path} expires in {days} days: renew it"))
        }
        Ok(days) => ok("certificate", format!("{path} is valid for {days} days")),
        Err(error) => fail("certificate", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn port_in_use_is_a_failure_unless_we_run_there() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(port("MQTT", address, false).state, State::Fail);
        assert_eq!(port("MQTT", address, true).state, State::Ok);
        drop(taken);
        assert_eq!(port("MQTT", address, false).state, State::Ok);
    }

    #[test]
    fn this_machines_clock_is_sane() {
        assert_ne!(clock().state, State::Fail);
    }

    #[test]
    fn missing_folder_says_init() {
        let findings = data_folder(Path::new("/no/such/folder"), None);
        assert_eq!(findings[0].state, State::Fail);
        assert!(findings[0].message.contains("vitalwire init"), "{}", findings[0].message);
    }
}
