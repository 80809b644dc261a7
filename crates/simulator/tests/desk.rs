//! The desk device at its ends: what it measured is there afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use vitalwire_device::flash::{FLASH_LEN, OUTBOX, Partition, SharedFlash};
use vitalwire_device::identity::{Credentials, Identity, tag_of};
use vitalwire_device::mode::{Mode, Switch};
use vitalwire_device::outbox::Outbox;
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::Page;
use vitalwire_protocol::Channel;
use vitalwire_protocol::batch::{Message, decode};
use vitalwire_simulator::desk::{Desk, DeskConfig, DeskHandle};
use vitalwire_simulator::hardware::{HostClock, SimulatedFlash, Wearer};
use vitalwire_simulator::patient::PatientConfig;

static PAGE: Page = Page { gzip: b"", len: 0, crc32: 0, content_security_policy: "" };

/// A device that collects for a server that is not there.
fn desk(flash: &Path) -> (Desk, DeskHandle) {
    let identity = Identity {
        name: "bed_07".try_into().unwrap(),
        setup_key: [1; 16],
        seed: [2; 32],
        access_point_password: None,
        credentials: Credentials::Link { id: [b'3'; 32], psk: [4; 32] },
        tag: tag_of("bed_07", 0),
    };
    let config = DeskConfig {
        identity: Some(identity),
        flash: Some(flash.to_owned()),
        page: &PAGE,
        page_listen: "127.0.0.1:0".parse().unwrap(),
        switch: Switch::Collector,
        settings: Some(Settings::new("127.0.0.1", 1, b"desk", "").unwrap()),
        wifi_password: None,
        wearer: Wearer::new(1, &PatientConfig::default(), None),
        world: HostClock::start(),
    };
    Desk::new(config).unwrap()
}

/// The moments of all pulse values in a flash file, in milliseconds since the device's start.
fn pulse_ms(flash: &Path) -> Vec<u64> {
    let flash = SimulatedFlash::in_file(flash, FLASH_LEN).unwrap();
    let flash: SharedFlash<NoopRawMutex, _> = Mutex::new(std::cell::RefCell::new(flash));
    let mut outbox = Outbox::mount(0, vec![0; 8_192], Partition::new(&flash, OUTBOX));
    let mut moments_ms = Vec::new();
    let mut message = [0; 8_192];
    while let Some((_, len)) = outbox.take_next(&mut message).unwrap() {
        let (Message::Batch(batch), _) = decode(&message[..len]).unwrap().unwrap() else {
            panic!("no batch")
        };
        for channel in batch.channels().filter(|channel| channel.index == Channel::PulseSig as u8) {
            let first_us = batch.time_ms * 1_000 + u64::from(channel.delay_us);
            let ms = |place: u64| (first_us + place * u64::from(channel.interval_us)) / 1_000;
            moments_ms.extend((0..channel.values.count() as u64).map(ms));
        }
    }
    moments_ms
}

/// Runs a device until 2.6 s after its start, when `end` does something to it: in the midst of a batch.
async fn ended_amid_a_batch(flash: &Path, end: impl AsyncFnOnce(&DeskHandle, &CancellationToken)) {
    let start = Instant::now();
    let (desk, handle) = desk(flash);
    let stop = CancellationToken::new();
    let story = async {
        sleep_until(start + Duration::from_millis(2_600)).await;
        end(&handle, &stop).await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let state = tokio::select! {
        state = desk.run(stop.clone()) => state.unwrap(),
        () = story => unreachable!("it never ends"),
    };
    assert_eq!(state.held, 3, "the last one is counted, too");
    let moments_ms = pulse_ms(flash);
    // One value for each 50 ms up to the end.
    assert!(moments_ms.windows(2).all(|pair| pair[1] - pair[0] == 50), "{moments_ms:?}");
    assert!(*moments_ms.last().unwrap() >= 2_500, "{moments_ms:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_device_keeps_every_value() {
    let folder = tempfile::tempdir().unwrap();
    ended_amid_a_batch(&folder.path().join("flash"), async |_, stop| stop.cancel()).await;
}

#[tokio::test(start_paused = true)]
async fn a_moved_switch_costs_no_value() {
    let folder = tempfile::tempdir().unwrap();
    ended_amid_a_batch(&folder.path().join("flash"), async |handle, _| {
        handle.move_switch(Switch::Configuration);
        while handle.state().mode != Mode::Configuration {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
