//! What the outbox holds, drops and gives out.

use vitalwire_device::outbox::{GivenUp, NoFlash, Outbox, OutboxError, REFUSALS_MAX};
use vitalwire_testing::flash::Flash;

type InMemory = Outbox<Vec<u8>, NoFlash>;
type WithFlash = Outbox<Vec<u8>, Flash<4, 256>>;

pub(crate) fn message(boot: u64, sequence: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| ((boot * 31) ^ (sequence * 7) ^ at).to_le_bytes()[0]).collect()
}

fn push(outbox: &mut Outbox<Vec<u8>, impl embedded_storage::nor_flash::NorFlash>, len: usize) -> u64 {
    let (boot, sequence) = (outbox.boot(), outbox.next_sequence());
    outbox.push(sequence * 1_000, &message(boot, sequence, len)).unwrap()
}

/// Everything that may go out now.
fn sent(outbox: &mut Outbox<Vec<u8>, impl embedded_storage::nor_flash::NorFlash>) -> Vec<u64> {
    let mut out = [0; 256];
    let mut sent = Vec::new();
    while let Some((sequence, len)) = outbox.take_next(&mut out).unwrap() {
        assert_eq!(out[..len], message(outbox.delivered_boot(), sequence, len));
        sent.push(sequence);
    }
    sent
}

#[test]
fn batches_stay_in_memory_while_it_has_room() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 256], Flash::new(4));
    (0..6).for_each(|_| assert_eq!(push(&mut outbox, 32), 0));
    assert_eq!((outbox.held(), outbox.held_in_flash()), (6, 0));
    push(&mut outbox, 32);
    assert_eq!((outbox.held(), outbox.held_in_flash()), (7, 1));
    assert_eq!(sent(&mut outbox), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(outbox.acknowledge(7), 7);
    assert_eq!((outbox.held(), outbox.in_flight_len(), outbox.oldest()), (0, 0, Some(8)));
}

#[test]
fn what_waits_moves_to_flash_a_sector_at_a_time() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 1_024], Flash::new(16));
    (0..20).for_each(|_| assert_eq!(push(&mut outbox, 32), 0));
    let mut in_flash = vec![0];
    while outbox.held_in_flash() < outbox.held() {
        outbox.save_some();
        in_flash.push(outbox.held_in_flash());
    }
    outbox.save_some();
    assert_eq!((outbox.held(), outbox.dropped()), (20, 0));
    assert_eq!(in_flash, [0, 4, 8, 12, 16, 20]);
    assert_eq!(sent(&mut outbox), (1..=20).collect::<Vec<_>>());
    assert_eq!(outbox.into_flash().erased, 5);
}

#[test]
fn an_acknowledgement_forgets_what_it_names_and_no_more() {
    let mut outbox: InMemory = Outbox::mount(1, vec![0; 1_024], NoFlash);
    (0..9).for_each(|_| assert_eq!(push(&mut outbox, 50), 0));
    sent(&mut outbox);
    assert_eq!(outbox.in_flight_len(), 450);
    assert_eq!(outbox.acknowledge(4), 4);
    assert_eq!(outbox.acknowledge(2), 0);
    assert_eq!((outbox.in_flight_len(), outbox.oldest()), (250, Some(5)));
    outbox.begin_delivery();
    assert_eq!(sent(&mut outbox), [5, 6, 7, 8, 9]);
}

#[test]
fn without_flash_the_oldest_batch_goes_when_memory_is_full() {
    let mut outbox: InMemory = Outbox::mount(1, vec![0; 128], NoFlash);
    let dropped: u64 = (0..20).map(|_| push(&mut outbox, 32)).sum();
    assert_eq!((dropped, outbox.dropped(), outbox.held()), (17, 17, 3));
    assert_eq!(outbox.oldest(), Some(18));
    assert_eq!(sent(&mut outbox), [18, 19, 20]);
}

#[test]
fn with_flash_full_the_oldest_sector_goes() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 100], Flash::new(4));
    let mut dropped = 0;
    for sequence in 1..200 {
        dropped += push(&mut outbox, 40);
        assert_eq!(outbox.oldest(), Some(dropped + 1));
        assert_eq!(outbox.held(), sequence - dropped);
    }
    assert_eq!(dropped, outbox.dropped());
    // Three batches lie in a sector; two in memory.
    assert!((3 * 3..=3 * 4).contains(&outbox.held_in_flash()), "{}", outbox.held_in_flash());
    assert_eq!(sent(&mut outbox), ((dropped + 1)..200).collect::<Vec<_>>());
}

#[test]
fn what_was_sent_and_then_moved_to_flash_is_not_sent_twice() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 128], Flash::new(8));
    let mut all = Vec::new();
    for _ in 0..12 {
        push(&mut outbox, 32);
        all.extend(sent(&mut outbox));
    }
    assert_eq!(all, (1..=12).collect::<Vec<_>>());
    assert_eq!(outbox.in_flight_len(), 12 * 32);
    assert!(outbox.held_in_flash() > 6);
    outbox.begin_delivery();
    assert_eq!(sent(&mut outbox), (1..=12).collect::<Vec<_>>());
}

#[test]
fn dropping_what_is_in_flight_frees_the_window() {
    let mut outbox: InMemory = Outbox::mount(1, vec![0; 128], NoFlash);
    (0..3).for_each(|_| assert_eq!(push(&mut outbox, 32), 0));
    sent(&mut outbox);
    push(&mut outbox, 32);
    assert_eq!((outbox.in_flight_len(), outbox.dropped()), (64, 1));
    // An acknowledgement that was on its way is right still.
    assert_eq!(outbox.acknowledge(2), 1);
    assert_eq!(outbox.in_flight_len(), 32);
}

#[test]
fn boots_are_delivered_one_after_the_other_under_their_own_names() {
    let mut flash = Flash::<4, 256>::new(16);
    for boot in 1..=3 {
        let mut outbox = Outbox::mount(boot, vec![0; 100], flash);
        (0..5).for_each(|_| assert_eq!(push(&mut outbox, 40), 0));
        outbox.save();
        assert_eq!(outbox.held_in_flash(), 5 * boot);
        flash = outbox.into_flash();
    }
    let mut outbox = Outbox::mount(4, vec![0; 1_000], flash);
    push(&mut outbox, 40);
    for boot in 1..=3 {
        let delivery = outbox.begin_delivery();
        assert_eq!((delivery.boot, delivery.oldest, delivery.past_newest_ms), (boot, 1, Some(5_000)));
        assert_eq!(sent(&mut outbox), [1, 2, 3, 4, 5]);
        outbox.acknowledge(3);
        assert_eq!((outbox.oldest(), outbox.oldest_of_present_boot()), (Some(4), 1));
        // The server may hold more of that boot than flash did.
        outbox.acknowledge(9);
        assert_eq!(outbox.oldest(), None);
        assert_eq!(sent(&mut outbox), [0; 0]);
    }
    let delivery = outbox.begin_delivery();
    assert_eq!((delivery.boot, delivery.oldest, delivery.past_newest_ms), (4, 1, None));
    assert_eq!(sent(&mut outbox), [1]);
}

#[test]
fn what_was_acknowledged_does_not_come_back_after_a_restart() {
    let mut outbox = Outbox::mount(1, vec![0; 100], Flash::<4, 256>::new(8));
    (0..10).for_each(|_| assert_eq!(push(&mut outbox, 40), 0));
    outbox.save();
    sent(&mut outbox);
    // Three batches lie in a sector: two sectors are done, and one of the third is not acknowledged.
    outbox.acknowledge(8);
    let mut again = Outbox::mount(2, vec![0; 100], outbox.into_flash());
    assert_eq!(again.held(), 4);
    assert_eq!(again.begin_delivery().oldest, 7);
    again.acknowledge(10);
    assert_eq!(Outbox::mount(3, vec![0; 100], again.into_flash()).held(), 0);
}

#[test]
fn a_batch_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 100], Flash::new(4));
    assert_eq!(outbox.message_len_max(), 90);
    assert_eq!(outbox.push(0, &[0; 91]), Err(OutboxError::TooLong { len: 91, max: 90 }));
    assert_eq!((outbox.held(), outbox.next_sequence()), (0, 1));
    push(&mut outbox, 90);
    let too_small = OutboxError::BufferTooSmall { len: 90, available: 89 };
    assert_eq!(outbox.take_next(&mut [0; 89]), Err(too_small));
    assert_eq!(sent(&mut outbox), [1]);
    let mut large: Outbox<Vec<u8>, Flash<4, 256>> = Outbox::mount(1, vec![0; 1_000], Flash::new(4));
    assert_eq!(large.message_len_max(), 256 - 24 - 24);
    assert!(large.push(0, &[0; 208]).is_ok());
}

#[test]
fn flashes_of_every_word_size_hold_batches() {
    fn hold<const UNIT: usize>() {
        let mut outbox = Outbox::mount(1, vec![0; 100], Flash::<UNIT, 2_048>::new(4));
        (0..9).for_each(|n| assert_eq!(push(&mut outbox, 31 + n), 0));
        assert!(outbox.held_in_flash() > 5, "words of {UNIT}");
        assert_eq!(sent(&mut outbox), (1..=9).collect::<Vec<_>>());
        outbox.save();
        let again = Outbox::mount(2, vec![0; 100], outbox.into_flash());
        assert_eq!(again.held(), 9, "words of {UNIT}");
    }
    hold::<1>();
    hold::<2>();
    hold::<4>();
    hold::<8>();
    hold::<32>();
    hold::<256>();
}

#[test]
fn a_flash_that_cannot_be_used_is_none() {
    // One sector; and words larger than any we know.
    let mut one = Outbox::mount(1, vec![0; 100], Flash::<4, 256>::new(1));
    let dropped: u64 = (0..5).map(|_| push(&mut one, 40)).sum();
    assert_eq!((one.held(), one.held_in_flash(), dropped), (2, 0, 3));
    one.save();
    assert_eq!(one.held(), 2);
    let coarse = Outbox::mount(1, vec![0; 100], Flash::<512, 1_024>::new(4));
    assert_eq!(coarse.message_len_max(), 90);
}

#[test]
fn a_batch_that_is_refused_three_times_is_sent_no_more_and_the_others_are() {
    let mut outbox: WithFlash = Outbox::mount(1, vec![0; 128], Flash::new(8));
    (0..6).for_each(|_| assert_eq!(push(&mut outbox, 32), 0));
    assert!(outbox.held_in_flash() > 0 && outbox.held_in_flash() < 6);
    // In flash, and in memory.
    for poison in [2, 5] {
        for times in 1..=REFUSALS_MAX {
            outbox.begin_delivery();
            assert!(sent(&mut outbox).contains(&poison));
            assert_eq!(outbox.refuse(poison, 3), times == REFUSALS_MAX, "{poison}, {times}");
        }
    }
    outbox.begin_delivery();
    assert_eq!(sent(&mut outbox), [1, 3, 4, 6]);
    assert_eq!((outbox.given_up(), outbox.dropped(), outbox.oldest()), (2, 0, Some(1)));
    outbox.acknowledge(1);
    assert_eq!(outbox.oldest(), Some(3), "nothing older than the second is held");
    assert_eq!(outbox.acknowledge(4), 2);
    assert_eq!((outbox.oldest(), outbox.held()), (Some(6), 1));
    assert_eq!(outbox.acknowledge(6), 1);
    assert_eq!((outbox.held(), outbox.in_flight_len()), (0, 0));
    assert_eq!(outbox.take_given_up(), Some(GivenUp { boot: 1, sequence: 2, code: 3 }));
    assert_eq!(outbox.take_given_up(), Some(GivenUp { boot: 1, sequence: 5, code: 3 }));
    assert_eq!(outbox.take_given_up(), None);
}

#[test]
fn a_refusal_means_the_first_batch_that_was_sent_from_its_number_on() {
    let mut outbox: InMemory = Outbox::mount(1, vec![0; 128], NoFlash);
    assert_eq!((0..6).map(|_| push(&mut outbox, 32)).sum::<u64>(), 3);
    assert_eq!(outbox.oldest(), Some(4));
    // Not sent: nothing is meant.
    (0..9).for_each(|_| assert!(!outbox.refuse(4, 1)));
    let mut out = [0; 64];
    outbox.take_next(&mut out).unwrap();
    assert_eq!([1, 2, 3].map(|sequence| outbox.refuse(sequence, 1)), [false, false, true]);
    assert_eq!((outbox.held(), outbox.oldest(), outbox.in_flight_len()), (2, Some(5), 0));
    assert!(!outbox.refuse(5, 1), "5 was not sent");
    assert_eq!(sent(&mut outbox), [5, 6]);
}

#[test]
fn what_an_earlier_boot_left_can_be_given_up_too_and_only_until_a_restart() {
    let mut outbox = Outbox::mount(1, vec![0; 100], Flash::<4, 256>::new(8));
    (0..4).for_each(|_| assert_eq!(push(&mut outbox, 40), 0));
    outbox.save();
    let mut outbox = Outbox::mount(2, vec![0; 100], outbox.into_flash());
    for _ in 0..REFUSALS_MAX {
        outbox.begin_delivery();
        sent(&mut outbox);
        outbox.refuse(2, 3);
    }
    outbox.begin_delivery();
    assert_eq!(sent(&mut outbox), [1, 3, 4]);
    assert_eq!(outbox.take_given_up(), Some(GivenUp { boot: 1, sequence: 2, code: 3 }));
    // What was counted is forgotten with the memory.
    let mut outbox = Outbox::mount(3, vec![0; 100], outbox.into_flash());
    assert_eq!(sent(&mut outbox), [1, 2, 3, 4]);
}
