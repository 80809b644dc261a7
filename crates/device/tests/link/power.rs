//! Power is lost at every word of a script: what was written whole is there, and nothing else.

use std::collections::BTreeMap;

use vitalwire_device::outbox::Outbox;
use vitalwire_testing::flash::Flash;

use crate::outbox::message;

/// What is certain at the moment the power goes.
#[derive(Clone, Debug, Default)]
struct Certain {
    /// Batches that lie in flash, as the outbox said.
    in_flash: Vec<u64>,
    /// Everything that was pushed.
    pushed: BTreeMap<u64, Vec<u8>>,
    /// Highest acknowledged.
    acknowledged: u64,
    /// The oldest that was not dropped.
    oldest: u64,
}

type Words<const UNIT: usize> = Flash<UNIT, 128>;

/// Pushes and acknowledges until it is through, or the power goes; what was certain before the last step.
fn script<const UNIT: usize>(flash: Words<UNIT>, boot: u64, batches: u64) -> (Words<UNIT>, Certain) {
    let mut outbox = Outbox::mount(boot, vec![0; 80], flash);
    outbox.begin_delivery();
    let mut certain = Certain { oldest: 1, ..Certain::default() };
    let mut out = [0; 128];
    for sequence in 1..=batches {
        let content = message(boot, sequence, 10 + usize::try_from(sequence % 13).unwrap());
        certain.pushed.insert(sequence, content.clone());
        outbox.push(sequence, &content).unwrap();
        while outbox.delivered_boot() == boot && outbox.take_next(&mut out).unwrap().is_some() {}
        if sequence % 7 == 0 && outbox.delivered_boot() == boot {
            certain.acknowledged = sequence - 4;
            outbox.acknowledge(sequence - 4);
        }
        if outbox.flash_faults() > 0 {
            break;
        }
        let oldest = outbox.oldest_of_present_boot();
        certain.oldest = oldest;
        // Flash may hold batches of other boots too; what is in memory is the newest of this one.
        let in_memory = outbox.held() - outbox.held_in_flash();
        certain.in_flash = (oldest..outbox.next_sequence() - in_memory).collect();
    }
    (outbox.into_flash(), certain)
}

/// Everything a restarted device would deliver of the boot, in order, with every byte as it was pushed.
fn delivered<const UNIT: usize>(flash: Words<UNIT>, boot: u64, certain: &Certain) -> (Words<UNIT>, Vec<u64>) {
    let mut outbox = Outbox::mount(99, vec![0; 80], flash);
    let mut sequences = Vec::new();
    let mut out = [0; 128];
    if outbox.delivered_boot() == boot {
        while let Some((sequence, len)) = outbox.take_next(&mut out).unwrap() {
            assert_eq!(&out[..len], &certain.pushed[&sequence][..], "batch {sequence}");
            sequences.push(sequence);
        }
    }
    assert_eq!(outbox.held(), sequences.len() as u64);
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    (outbox.into_flash(), sequences)
}

/// The batches of one sector, at most, that a step may drop or send again.
const SECTOR_BATCHES: usize = 3;

fn cut_everywhere<const UNIT: usize>(sectors: usize, batches: u64) {
    let (whole, _) = script(Words::<UNIT>::new(sectors), 5, batches);
    for power in 0..whole.operations {
        let mut flash = Words::<UNIT>::new(sectors);
        flash.power = Some(power);
        let (flash, certain) = script(flash, 5, batches);
        assert!(flash.is_dead, "power for {power}");
        let (flash, found) = delivered(flash.revived(), 5, &certain);
        let certain_in_flash =
            || certain.in_flash.iter().filter(|sequence| **sequence > certain.acknowledged);
        // Opening a sector may have begun to erase the oldest, which was to be dropped anyway.
        let missing: Vec<&u64> = certain_in_flash().filter(|held| !found.contains(held)).collect();
        let may_miss: Vec<&u64> = certain_in_flash().take(missing.len()).collect();
        assert_eq!(missing, may_miss, "power for {power}: only the oldest may be gone");
        let is_full = certain.oldest > certain.acknowledged + 1
            || certain.in_flash.len() + SECTOR_BATCHES >= 2 * sectors;
        assert!(
            missing.is_empty() || (is_full && missing.len() <= SECTOR_BATCHES),
            "power for {power}: {missing:?}"
        );
        let again = found.iter().filter(|sequence| **sequence <= certain.acknowledged).count();
        assert!(again <= SECTOR_BATCHES + 7, "power for {power}: {again} came back");
        // And the log goes on from there.
        let (flash, _) = script(flash, 6, batches);
        assert!(!flash.is_dead);
    }
}

#[test]
fn a_power_cut_at_any_word_loses_nothing_that_was_written_whole() {
    cut_everywhere::<4>(12, 60);
    cut_everywhere::<1>(12, 20);
    cut_everywhere::<32>(12, 60);
}

#[test]
fn a_power_cut_at_any_word_of_a_full_flash_costs_at_most_the_oldest_sector() {
    cut_everywhere::<4>(3, 60);
}

#[test]
fn power_cuts_one_after_the_other_leave_a_log_that_can_be_read() {
    let mut flash = Words::<4>::new(6);
    for round in 0..500_u64 {
        flash.power = Some(round * 37 % 101);
        let (after, certain) = script(flash, 1_000 + round, 12);
        flash = after.revived();
        let mut outbox = Outbox::mount(1, vec![0; 80], flash);
        let mut out = [0; 128];
        let (mut boots, mut last) = (Vec::new(), None);
        loop {
            let delivery = outbox.begin_delivery();
            if delivery.past_newest_ms.is_none() {
                break;
            }
            boots.push(delivery.boot);
            while let Some((sequence, len)) = outbox.take_next(&mut out).unwrap() {
                let expected = message(delivery.boot, sequence, 10 + usize::try_from(sequence % 13).unwrap());
                assert_eq!(out[..len], expected, "round {round}");
                last = Some(sequence);
            }
            outbox.acknowledge(u64::MAX);
        }
        assert!(boots.is_sorted_by(|a, b| a < b), "round {round}: {boots:?}");
        let newest = certain.in_flash.last();
        assert!(newest.is_none() || last >= newest.copied(), "round {round}");
        assert_eq!(outbox.held(), 0);
        flash = outbox.into_flash();
    }
}
