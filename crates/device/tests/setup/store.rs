//! Power is lost at every byte that is written: what was saved before, or what was being saved, is there.

use vitalwire_device::crc::Crc32;
use vitalwire_device::settings::Settings;
use vitalwire_device::status::Trouble;
use vitalwire_device::store::{SettingsStore, StoreError};
use vitalwire_testing::flash::Flash;

const SECTOR: usize = 512;
const SECTORS: usize = 4;

fn settings(number: usize) -> Settings {
    // Of every length, so that records end anywhere in a sector.
    let password = "p".repeat(8 + number * 7 % 50);
    Settings::new(&format!("gateway-{number}.example"), 9_998, b"ward\xff", &password).unwrap()
}

fn store<const UNIT: usize>(flash: Flash<UNIT, SECTOR>) -> SettingsStore<Flash<UNIT, SECTOR>> {
    SettingsStore::new(flash).unwrap()
}

/// Saves until it is through or the power goes: the flash, what was saved last, and what was being saved.
fn script<const UNIT: usize>(
    flash: Flash<UNIT, SECTOR>,
    from: usize,
    saves: usize,
) -> (Flash<UNIT, SECTOR>, Option<usize>, Option<usize>) {
    let mut store = store(flash);
    let (mut saved, mut tried) = (None, None);
    for number in from..from + saves {
        tried = Some(number);
        if store.save(&settings(number)).is_err() {
            break;
        }
        saved = tried;
        let seed = [u8::try_from(number % 256).unwrap(); 32];
        let trouble = Trouble::from_number(u8::try_from(number % 8).unwrap());
        if store.save_seed(&seed).is_err() || store.save_trouble(trouble).is_err() {
            break;
        }
    }
    (store.into_flash(), saved, tried)
}

fn cut_everywhere<const UNIT: usize>(saves: usize) {
    let (whole, ..) = script(Flash::<UNIT, SECTOR>::new(SECTORS), 0, saves);
    for power in 0..whole.operations {
        let mut flash = Flash::<UNIT, SECTOR>::new(SECTORS);
        flash.power = Some(power);
        let (flash, saved, tried) = script(flash, 0, saves);
        assert!(flash.is_dead, "power for {power}");
        let mut store = store(flash.revived());
        let found = store.load();
        let is_whole = |number: Option<usize>| found == number.map(settings);
        assert!(
            is_whole(saved) || is_whole(tried),
            "power for {power}: {found:?} is neither {saved:?} nor {tried:?}"
        );
        assert!(
            store.seed().is_none_or(|seed| seed.iter().all(|byte| *byte == seed[0])),
            "power for {power}"
        );
        assert_eq!(store.load(), found, "power for {power}: reading changes nothing");
        // And it can be written again, through all sectors.
        let (flash, saved, _) = script(store.into_flash(), 1_000, saves);
        assert_eq!(saved, Some(1_000 + saves - 1), "power for {power}");
        assert_eq!(self::store(flash).load(), saved.map(settings));
    }
}

#[test]
fn a_power_cut_at_any_byte_leaves_the_old_or_the_new_settings() {
    cut_everywhere::<1>(12);
}

#[test]
fn a_power_cut_at_any_word_leaves_the_old_or_the_new_settings() {
    cut_everywhere::<4>(24);
    cut_everywhere::<32>(24);
}

#[test]
fn power_cuts_one_after_the_other_leave_settings_that_can_be_read() {
    let mut flash = Flash::<1, SECTOR>::new(SECTORS);
    let mut known = None;
    for round in 0..500 {
        flash.power = Some(u64::try_from(round * 379 % 1_013).unwrap());
        let (after, saved, tried) = script(flash, round * 10, 5);
        let mut store = store(after.revived());
        let found = store.load();
        let old = saved.or(known);
        assert!(
            found == old.map(settings) || found == tried.map(settings),
            "round {round}: {found:?} is neither {old:?} nor {tried:?}"
        );
        known = if found == tried.map(settings) { tried } else { old };
        flash = store.into_flash();
    }
    assert!(known.is_some());
}

#[test]
fn an_empty_flash_has_nothing_and_keeps_everything() {
    let mut store = store(Flash::<1, SECTOR>::new(SECTORS));
    assert_eq!((store.load(), store.trouble(), store.seed()), (None, None, None));
    store.save(&settings(1)).unwrap();
    store.save_trouble(Some(Trouble::WifiPassword)).unwrap();
    store.save_seed(&[7; 32]).unwrap();
    let mut store = self::store(store.into_flash());
    assert_eq!(store.load(), Some(settings(1)));
    assert_eq!((store.trouble(), store.seed()), (Some(Trouble::WifiPassword), Some([7; 32])));
    store.save_trouble(None).unwrap();
    assert_eq!(store.trouble(), None);
}

#[test]
fn a_trouble_that_did_not_change_is_not_written() {
    let mut store = store(Flash::<1, SECTOR>::new(SECTORS));
    store.save_trouble(None).unwrap();
    let flash = store.into_flash();
    assert_eq!(flash.operations, 0);
    let mut store = self::store(flash);
    store.save_trouble(Some(Trouble::Wifi)).unwrap();
    let flash = store.into_flash();
    let operations = flash.operations;
    let mut store = self::store(flash);
    store.save_trouble(Some(Trouble::Wifi)).unwrap();
    assert_eq!(store.into_flash().operations, operations);
}

#[test]
fn nothing_went_wrong_yet_with_new_settings() {
    let mut store = store(Flash::<1, SECTOR>::new(SECTORS));
    store.save(&settings(1)).unwrap();
    store.save_trouble(Some(Trouble::WifiPassword)).unwrap();
    store.save(&settings(2)).unwrap();
    assert_eq!((store.load(), store.trouble()), (Some(settings(2)), None));
}

/// A flash with one record, of another firmware.
fn written(body: &[u8]) -> Flash<1, SECTOR> {
    let mut head = [&b"Vs"[..], &u16::try_from(body.len()).unwrap().to_le_bytes(), &[7, 0, 0, 0]].concat();
    let check = Crc32::new().over(&head).over(body).end();
    head.extend(check.to_le_bytes());
    let mut flash = Flash::new(SECTORS);
    let record = [&head, body].concat();
    flash.bytes[..record.len()].copy_from_slice(&record);
    flash
}

/// The bodies of all records in a flash hold these bytes.
fn holds(flash: &Flash<1, SECTOR>, bytes: &[u8]) -> bool {
    flash.bytes[SECTOR..].windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn what_another_firmware_wrote_is_there_after_this_one_wrote() {
    // Settings of another form, a trouble, an item of a later firmware with a short key and one with a long key.
    let body = b"\xa4\x01\x43\x81\x18\x2a\x02\x18\xc8\x09\x82\x01\x65later\x19\x01\x00\xf5";
    let mut store = store(written(body));
    assert_eq!((store.load(), store.trouble(), store.seed()), (None, None, None));
    store.save_seed(&[3; 32]).unwrap();
    store.save_owner(&[4; 16]).unwrap();
    let seeds: [&[u8]; 2] = [b"\xa5", b"\xa6"];
    let flash = store.into_flash();
    for head in seeds {
        assert!(holds(&flash, &[head, &body[1..]].concat()));
    }
    // Until someone replaces it.
    let mut store = self::store(flash);
    assert_eq!((store.seed(), store.owner()), (Some([3; 32]), Some([4; 16])));
    store.save(&settings(1)).unwrap();
    store.save_trouble(Some(Trouble::Wifi)).unwrap();
    assert_eq!((store.load(), store.trouble()), (Some(settings(1)), Some(Trouble::Wifi)));
    let flash = store.into_flash();
    assert!(holds(&flash, b"\x09\x82\x01\x65later\x19\x01\x00\xf5"));
}

#[test]
fn further_items_of_the_settings_stay_until_they_are_saved_again() {
    let items = b"\x85\x68gate.way\x19\x27\x0e\x44ward\x60\x65later";
    let body = [b"\xa1\x01\x58", &[u8::try_from(items.len()).unwrap()][..], items].concat();
    let mut store = store(written(&body));
    let expected = Settings::new("gate.way", 9_998, b"ward", "").unwrap();
    assert_eq!(store.load(), Some(expected.clone()));
    store.save_seed(&[3; 32]).unwrap();
    assert!(holds(&store.into_flash(), items));
}

#[test]
fn what_leaves_no_room_for_settings_goes() {
    let item = [&b"\xa1\x09\x59\x01\x2c"[..], &[b'x'; 300]].concat();
    let mut store = store(written(&item));
    store.save_seed(&[3; 32]).unwrap();
    let longest =
        Settings::new(&["a".repeat(63).as_str(); 4].join(".")[..253], 9_998, &[0xff; 32], &"0".repeat(64))
            .unwrap();
    store.save(&longest).unwrap();
    store.save_trouble(Some(Trouble::Wifi)).unwrap();
    let mut store = self::store(store.into_flash());
    assert_eq!(store.load(), Some(longest));
    assert_eq!((store.seed(), store.trouble()), (Some([3; 32]), Some(Trouble::Wifi)));
}

#[test]
fn a_flash_full_of_anything_is_made_ready_by_a_save() {
    for seed in 0..200_u32 {
        let mut flash = Flash::<1, SECTOR>::new(SECTORS);
        let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
        for byte in &mut flash.bytes {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            *byte = if seed % 2 == 0 { random.to_le_bytes()[2] } else { u8::try_from(seed).unwrap() };
        }
        let mut store = store(flash);
        assert_eq!(store.load(), None, "seed {seed}");
        store.save(&settings(2)).unwrap();
        assert_eq!(store.load(), Some(settings(2)), "seed {seed}");
        store.save_seed(&[1; 32]).unwrap();
    }
}

#[test]
fn a_region_of_one_sector_is_refused() {
    let flash = Flash::<1, SECTOR>::new(1);
    assert_eq!(SettingsStore::new(flash).err(), Some(StoreError::Region { len: SECTOR }));
}
