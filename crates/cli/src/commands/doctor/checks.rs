//! The single checks. Each looks at one thing and says what to do about it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vitalwire_broker::{TlsIdentity, bind_advice};
use vitalwire_gateway::{free_bytes, journal_file, server_lock};
use vitalwire_registry::{Directory, Registry, RegistryError};

use super::{Finding, State, fail, ok, warn};
use crate::args::quoted;
use crate::config::{BrokerSettings, DashboardSettings, Settings, TlsSettings};
use crate::explain::explain;
use crate::processes::{self, Process};
use crate::{data, limits};

/// 2025-01-01: this program is younger.
const CLOCK_MIN: Duration = Duration::from_secs(1_735_689_600);
/// 2100-01-01.
const CLOCK_MAX: Duration = Duration::from_secs(4_102_444_800);
const CLOCK_WATCHED: Duration = Duration::from_millis(50);
const CLOCK_STEP_MAX: Duration = Duration::from_millis(50);
/// Below this many open files a ward's devices do not fit.
const OPEN_FILES_WANTED: u64 = 4_096;
/// With less a commit fails; with less than the other it soon will.
const DISK_BYTES_MIN: u64 = 1 << 20;
const DISK_BYTES_WARN: u64 = 64 << 20;
/// Renewing takes people time.
const CERTIFICATE_DAYS_WARN: i32 = 30;

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
    let server = processes::lock_holder(&server_lock(&settings.data));
    let mut found: Vec<_> =
        wanted.into_iter().map(|(name, address)| port(name, address, server.as_ref())).collect();
    found.extend(settings.dashboard.as_ref().map(|dashboard| dashboard_port(dashboard, server.as_ref())));
    found
}

fn dashboard_port(dashboard: &DashboardSettings, server: Option<&Process>) -> Finding {
    let found = port("the dashboard", dashboard.address, server);
    match found.state {
        // No one asked for that address.
        State::Fail if dashboard.is_default => {
            warn("ports", format!("{}; until then `serve` runs without a dashboard", found.message))
        }
        _ => found,
    }
}

/// `server` is the one that runs on this data folder.
fn port(name: &str, address: SocketAddr, server: Option<&Process>) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return ok("ports", format!("{address} is free for {name}")),
        Err(error) => error,
    };
    if error.kind() != ErrorKind::AddrInUse {
        let advice = bind_advice(&error);
        return fail("ports", format!("{address} cannot be used for {name} ({error}): {advice}"));
    }
    match (processes::listener(address), server) {
        (Some(found), Some(server)) if found == *server => {
            let pid = server.pid;
            ok("ports", format!("{address} is in use for {name} by this folder's server (process {pid})"))
        }
        (Some(Process { pid, name: program }), _) => {
            let whose = if program == "vitalwire" { ", not the server of this folder" } else { "" };
            fail(
                "ports",
                format!(
                    "{address} is not free for {name}: `{program}` (process {pid}{whose}) listens there. Stop it, \
                     or choose another"
                ),
            )
        }
        (None, _) => fail(
            "ports",
            format!(
                "{address} is not free for {name}: another program, or another data folder's server, listens \
                 there (as root, doctor says which). Stop it, or choose another"
            ),
        ),
    }
}

/// Room for what devices send: without it a server serves what is live, and acknowledges nothing.
pub(super) fn disk(folder: &Path) -> Finding {
    let shown = folder.display();
    match free_bytes(&journal_file(folder)) {
        None => warn("disk", format!("how much room the disk of {shown} has cannot be found out")),
        Some(free) if free < DISK_BYTES_MIN => fail(
            "disk",
            format!(
                "the disk of {shown} is full: `serve` shows live readings, and acknowledges and keeps nothing; free some"
            ),
        ),
        Some(free) if free < DISK_BYTES_WARN => {
            warn("disk", format!("the disk of {shown} has only {} MiB left: free some", free >> 20))
        }
        Some(free) => ok("disk", format!("{} MiB free on the disk of {shown}", free >> 20)),
    }
}

/// Folder, master key, registry and what is in it.
pub(super) fn data_folder(folder: &Path, master_key: Option<&Path>) -> Vec<Finding> {
    let registry = match data::open(folder, master_key) {
        Ok(registry) => registry,
        Err(error) => return vec![fail("data", explain(&error))],
    };
    let mut findings =
        vec![ok("data", format!("{}: permissions are right, the master key opens it", folder.display()))];
    match registry.directory() {
        Ok(directory) => {
            findings.extend(contents(&directory, folder));
            findings.extend(patients(&registry));
        }
        Err(error) => findings.push(broken(&error)),
    }
    findings
}

fn broken(error: &RegistryError) -> Finding {
    fail("registry", error.to_string())
}

fn contents(directory: &Directory, folder: &Path) -> Vec<Finding> {
    let data = quoted(&folder.display().to_string());
    let (devices, users) = (directory.devices.len(), directory.users.len());
    let mut findings = vec![
        match devices {
            0 => warn("devices", format!("none is enrolled: vitalwire device add NAME --data {data}")),
            _ => ok("devices", format!("{devices} enrolled")),
        },
        match users {
            0 => {
                let add = format!("vitalwire user add NAME --role reader --generate --data {data}");
                warn("users", format!("none, so no one can read: {add}"))
            }
            _ => ok("users", format!("{users} may log in")),
        },
    ];
    findings.extend(directory.broken.iter().map(|(row, cause)| {
        fail("registry", format!("{row} cannot be used: {cause}; remove and add it again"))
    }));
    findings
}

/// Whether what is known of patients can be read. Says nothing as long as no one was set.
fn patients(registry: &Registry) -> Vec<Finding> {
    let stays = match registry.stays() {
        Ok(stays) => stays,
        Err(error) => return vec![broken(&error)],
    };
    let present = stays.iter().filter(|stay| stay.ended_us.is_none() && stay.patient.is_some()).count();
    let broken = stays.iter().filter(|stay| stay.is_broken).map(|stay| {
        let (stay, device) = (stay.id, &stay.device);
        let set = "say again who it is: vitalwire patient set, with --correct";
        warn("patients", format!("what is known of stay {stay} ({device}) does not open; {set}"))
    });
    let known = (present > 0).then(|| ok("patients", format!("{present} wear a device and are known")));
    known.into_iter().chain(broken).collect()
}

/// How long MQTT over TLS still works.
pub(super) fn certificate(tls: Option<&TlsSettings>) -> Finding {
    let Some(tls) = tls else {
        return warn("certificate", "none, so MQTT is for this machine only: --tls-cert and --tls-key");
    };
    lasts("certificate", &TlsIdentity { certificate: tls.certificate.clone(), key: tls.key.clone() })
}

/// How long the dashboard's TLS still works, and for which names. Says nothing where it speaks none.
pub(super) fn dashboard_certificate(dashboard: &DashboardSettings) -> Option<Finding> {
    let tls = dashboard.tls.as_ref()?;
    let mut finding = lasts("dashboard", tls);
    if let Ok(names) = tls.names() {
        finding.message += &format!(", for {}", names.join(", "));
    }
    Some(finding)
}

fn lasts(check: &'static str, identity: &TlsIdentity) -> Finding {
    let path = identity.certificate.display();
    match identity.days_left() {
        Ok(days) if days < 0 => fail(check, format!("{path} has expired: renew it")),
        Ok(days) if days < CERTIFICATE_DAYS_WARN => {
            warn(check, format!("{path} expires in {days} days: renew it"))
        }
        Ok(days) => ok(check, format!("{path} is valid for {days} days")),
        Err(error) => fail(check, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_a_failure_unless_the_folders_own_server_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let pid = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned();
        let ours = Process { pid, name };
        let other = Process { pid: pid + 1, name: "vitalwire".to_owned() };
        for server in [None, Some(&other)] {
            let found = port("MQTT", address, server);
            assert_eq!(found.state, State::Fail);
            assert!(found.message.contains(&format!("process {pid}")), "{}", found.message);
        }
        assert_eq!(port("MQTT", address, Some(&ours)).state, State::Ok);
        drop(taken);
        assert_eq!(port("MQTT", address, None).state, State::Ok);
    }

    #[test]
    fn an_address_that_is_not_ours_blames_no_other_program() {
        let found = port("devices", "192.0.2.1:9998".parse().unwrap(), None);
        assert_eq!(found.state, State::Fail);
        assert!(found.message.contains("does not have that address"), "{}", found.message);
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
