//! A flash that fails or forgets costs what lay there, counted, and never the device.

use vitalwire_device::outbox::Outbox;
use vitalwire_testing::flash::Flash;

use crate::outbox::message;

type WithFlash = Outbox<Vec<u8>, Flash<4, 256>>;

fn push(outbox: &mut WithFlash, batches: u64) -> u64 {
    let push = |outbox: &mut WithFlash| {
        let content = message(outbox.boot(), outbox.next_sequence(), 40);
        outbox.push(outbox.next_sequence(), &content).unwrap()
    };
    (0..batches).map(|_| push(outbox)).sum()
}

fn sent(outbox: &mut WithFlash) -> Vec<u64> {
    let mut out = [0; 64];
    std::iter::from_fn(|| {
        let (sequence, len) = outbox.take_next(&mut out).unwrap()?;
        assert_eq!(out[..len], message(outbox.delivered_boot(), sequence, 40));
        Some(sequence)
    })
    .collect()
}

#[test]
fn a_flash_that_fails_for_good_leaves_the_memory() {
    let mut flash = Flash::new(8);
    flash.power = Some(20);
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 200], flash);
    let dropped = push(&mut outbox, 50);
    assert!(outbox.flash_faults() > 0);
    assert!(dropped >= 44);
    // What it held cannot be read, and counts as dropped.
    assert_eq!(sent(&mut outbox), [47, 48, 49, 50]);
}

#[test]
fn a_record_that_rotted_costs_the_rest_of_its_sector_only() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 100], Flash::new(8));
    assert_eq!(push(&mut outbox, 12), 0);
    outbox.save();
    let mut flash = outbox.into_flash();
    // Three batches lie in a sector; a bit of the second in the second sector falls.
    flash.bytes[256 + 24 + 64 + 30] &= 0xf0;
    let mut outbox = Outbox::mount(2, vec![0; 100], flash);
    assert_eq!(outbox.held(), 10);
    assert_eq!(sent(&mut outbox), [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]);
    assert_eq!(outbox.acknowledge(4), 4);
    // Now the server can be told that 5 and 6 will not come.
    assert_eq!(outbox.oldest(), Some(7));
    assert_eq!(outbox.acknowledge(12), 6);
    assert_eq!((outbox.held(), outbox.oldest()), (0, None));
}

#[test]
fn what_flash_forgets_while_it_is_held_is_counted() {
    let mut flash = Flash::new(8);
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 100], flash);
    push(&mut outbox, 6);
    outbox.save();
    flash = outbox.into_flash();
    let mut outbox = Outbox::mount(2, vec![0; 100], flash);
    assert_eq!((outbox.held(), outbox.dropped()), (6, 0));
    outbox.begin_delivery();
    push(&mut outbox, 1);
    // A flash that is worn: every operation fails from now on.
    let mut worn = outbox.into_flash();
    (worn.power, worn.is_dead) = (Some(0), true);
    let mut outbox: WithFlash = Outbox::mount(3, vec![0; 100], worn);
    push(&mut outbox, 4);
    assert_eq!(sent(&mut outbox), [3, 4]);
}

#[test]
fn random_flash_contents_are_no_batches() {
    let mut random = 1_u32;
    for _ in 0..200 {
        let mut flash = Flash::new(4);
        for byte in &mut flash.bytes {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = random.to_be_bytes()[0];
        }
        let mut outbox: WithFlash = Outbox::mount(1, vec![0; 100], flash);
        assert_eq!(outbox.held(), 0);
        push(&mut outbox, 9);
        assert_eq!(sent(&mut outbox), (1..=9).collect::<Vec<_>>());
    }
}
