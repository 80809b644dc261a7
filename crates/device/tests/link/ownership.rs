//! A piece of hardware that becomes another device.

use vitalwire_device::identity::{Credentials, Identity, tag_of};
use vitalwire_device::outbox::Outbox;
use vitalwire_device::ownership::{Claim, claim};
use vitalwire_device::store::SettingsStore;
use vitalwire_testing::flash::Flash;

use crate::outbox::message;

type Outboxes = Flash<4, 256>;
type Store = SettingsStore<Flash<4, 512>>;

/// An identity of this device, with another link id for each key.
fn identity(device: &str, key: u8) -> Identity {
    let id = [b'0' + key; 32];
    Identity {
        name: core::str::from_utf8(&id).unwrap().try_into().unwrap(),
        setup_key: [key; 16],
        seed: [key; 32],
        access_point_password: None,
        credentials: Credentials::Link { id, psk: [key; 32] },
        tag: tag_of(device, 1_700_000_000),
    }
}

fn store() -> Store {
    SettingsStore::new(Flash::new(2)).unwrap()
}

/// Measures some batches and is switched off in order.
fn measured(flash: Outboxes, boot: u64) -> Outboxes {
    let mut outbox = Outbox::mount(boot, vec![0; 100], flash);
    for sequence in 1..=10 {
        outbox.push(sequence, &message(boot, sequence, 40)).unwrap();
    }
    outbox.save();
    outbox.into_flash()
}

fn held(flash: &Outboxes) -> u64 {
    Outbox::mount(99, vec![0; 100], flash.clone()).held()
}

#[test]
fn what_one_device_measured_is_never_delivered_as_another() {
    let (mut store, mut flash) = (store(), Outboxes::new(8));
    assert_eq!(claim(&identity("bed_07", 1), &mut store, &mut flash), Ok(Claim::Erased { sectors: 0 }));
    flash = measured(flash, 1);
    assert_eq!(claim(&identity("bed_08", 2), &mut store, &mut flash), Ok(Claim::Erased { sectors: 4 }));
    assert_eq!(held(&flash), 0);
    assert!(flash.bytes.iter().all(|byte| *byte == 0xff));
    flash = measured(flash, 2);
    assert_eq!(claim(&identity("bed_08", 2), &mut store, &mut flash), Ok(Claim::Own));
    assert_eq!(held(&flash), 10);
}

#[test]
fn a_rotated_key_keeps_what_was_measured_before() {
    let (mut store, mut flash) = (store(), Outboxes::new(8));
    claim(&identity("bed_07", 1), &mut store, &mut flash).unwrap();
    flash = measured(flash, 1);
    assert_eq!(claim(&identity("bed_07", 2), &mut store, &mut flash), Ok(Claim::Own));
    assert_eq!(held(&flash), 10);
}

#[test]
fn a_power_cut_while_it_is_erased_delivers_nothing_later() {
    for power in 0..4 {
        let (mut store, mut flash) = (store(), Outboxes::new(8));
        claim(&identity("bed_07", 1), &mut store, &mut flash).unwrap();
        flash = measured(flash, 1);
        flash.power = Some(power);
        claim(&identity("bed_08", 2), &mut store, &mut flash).unwrap_err();
        let mut flash = flash.revived();
        assert!(matches!(claim(&identity("bed_08", 2), &mut store, &mut flash), Ok(Claim::Erased { .. })));
        assert_eq!(held(&flash), 0, "power lost after {power} operations");
    }
}
