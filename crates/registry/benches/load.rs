//! How long a directory of N devices takes to load, to be changed by one device, and to be cloned.
//! `cargo bench -p vitalwire-registry`.
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::time::{Instant, SystemTime};

use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;
use vitalwire_registry::{MasterKey, ROTATION_OVERLAP, Registry};

const HEAD: &str = " devices   enrol ms    load ms    change ms     clone ms";

fn devices(count: usize) -> Vec<(DeviceId, CbcSecret)> {
    let device = |number: usize| {
        let mut key = [0; 16];
        key.copy_from_slice(format!("key{number:013}").as_bytes());
        (format!("iot_med_dev_{number}").parse().unwrap(), CbcSecret::new(key, *b"AAAAAAAAAAAAAAAA"))
    };
    (0..count).map(device).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e3)
}

fn measure_frames() {
    println!("AES-CBC\n{HEAD}");
    for count in [10, 1_000, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::generate().unwrap();
        let registry = Registry::create(&folder.path().join("data"), &master).unwrap();
        let batch = devices(count);
        let ((), enrol) = timed(|| registry.add_cbc_devices(&batch).unwrap());
        let (directory, load) = timed(|| registry.directory().unwrap());
        assert_eq!(directory.devices.len(), count);
        registry.rotate_device(&batch.first().unwrap().0, ROTATION_OVERLAP).unwrap();
        let (next, change) = timed(|| directory.with(registry.changes_since(directory.version).unwrap()));
        let (_, clone) = timed(|| next.clone());
        println!("{count:>8} {enrol:>10.1} {load:>10.1} {change:>12.2} {clone:>12.4}");
    }
}

fn measure_links() {
    println!("TLS\n{HEAD}   link ns");
    for count in [10, 1_000, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::generate().unwrap();
        let registry = Registry::create(&folder.path().join("data"), &master).unwrap();
        let ids: Vec<DeviceId> = devices(count).into_iter().map(|(id, _)| id).collect();
        let (links, enrol) = timed(|| registry.add_tls_devices(&ids).unwrap());
        let (directory, load) = timed(|| registry.directory().unwrap());
        assert_eq!(directory.devices.len(), count);
        registry.rotate_device(ids.first().unwrap(), ROTATION_OVERLAP).unwrap();
        let (next, change) = timed(|| directory.with(registry.changes_since(directory.version).unwrap()));
        let (_, clone) = timed(|| next.clone());
        let now = SystemTime::now();
        let ((), found) = timed(|| links.iter().for_each(|link| assert!(next.link(&link.id, now).is_some())));
        let each = found * 1e6 / f64::from(u32::try_from(count).unwrap());
        println!("{count:>8} {enrol:>10.1} {load:>10.1} {change:>12.2} {clone:>12.4} {each:>9.0}");
    }
}

fn main() {
    measure_frames();
    measure_links();
}
