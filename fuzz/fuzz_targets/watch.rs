//! What a page says to the dashboard is a list of devices or refused, and is that list alone: written again it is the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone: the crate would bring along the whole server, and the page with npm.
#[allow(unreachable_pub, reason = "it is a part of a library, too")]
#[path = "../../crates/dashboard/src/message/watch.rs"]
mod watch;

fuzz_target!(|data: &[u8]| {
    match watch::watched(data) {
        Ok(devices) => {
            assert!(data.len() > watch::WATCH_LEN_MAX || devices.len() < watch::WATCH_LEN_MAX / 2);
            let mut bytes = vec![1];
            devices.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
            assert_eq!(bytes, data);
        }
        Err(watch::NoMessage) => assert!(data.first() != Some(&1) || data.len() % 2 == 0),
    }
});
