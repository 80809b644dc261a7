//! The power is cut at random moments, on a disk that forgets what was not synced: nothing acknowledged is lost.
//! `JOURNAL_POWER_CUTS=100 cargo test -p vitalwire-journal --test journal power -- --nocapture` for the long form.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use vitalwire_journal::{Health, Journal, Outcome, Refusal};

use crate::appender::{Ack, Appender, check, rounds, seed};
use crate::fixture::{append, append_range, entry, everything, limits, path_in, wait_for_health};
use crate::forgetful_disk::{Content, ForgetfulDisk, Manner};

/// Puts what a power cut left on an ordinary disk, to be looked at.
fn laid_out(content: &Content) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in content {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.path().join(name), private).unwrap();
    }
    folder
}

#[test]
fn power_cut_loses_nothing_acknowledged_and_doubles_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let mount = tempfile::tempdir().unwrap();
    let (mut content, mut acks): (Content, Vec<Ack>) = (Content::new(), Vec::new());
    for round in 1..=rounds("JOURNAL_POWER_CUTS", 8) {
        let disk = ForgetfulDisk::holding(&content);
        let Some(session) = disk.mount(mount.path()) else { return };
        let appender = Appender::start(mount.path());
        acks.extend(appender.acknowledged_for(Duration::from_micros(random.random_range(0..300_000))));
        // Only what was told before the cut counts.
        let survival = [0.0, 0.1, 0.5, 0.9, 1.0][random.random_range(0..5)];
        content = disk.cut_power(&mut random, survival);
        appender.kill();
        session.umount_and_join().unwrap();
        let found = check(laid_out(&content).path(), &acks).unwrap();
        println!("cut {round}, survival {survival}, {} syncs: {found:?}", disk.syncs());
        assert_eq!(found.lost, 0);
    }
}

/// Shows that the test above can fail: on a disk that only says that it synced, acknowledged entries are lost.
#[test]
fn lying_disk_is_found_out() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let mount = tempfile::tempdir().unwrap();
    let disk = ForgetfulDisk::default();
    let Some(session) = disk.mount(mount.path()) else { return };
    let appender = Appender::start(mount.path());
    let mut acks = appender.acknowledged_for(Duration::from_millis(100));
    disk.set_manner(Manner::Lying);
    // Until something was acknowledged that is only said to be on the disk.
    let honest = disk.syncs();
    while disk.syncs() < honest + 20 {
        acks.extend(appender.acknowledged_for(Duration::from_millis(50)));
    }
    acks.extend(appender.acknowledged_for(Duration::from_millis(50)));
    let content = disk.cut_power(&mut random, 0.0);
    appender.kill();
    session.umount_and_join().unwrap();
    let found = check(laid_out(&content).path(), &acks).unwrap();
    println!("{found:?}");
    assert!(found.lost > 0 && found.lost < found.acknowledged);
}

#[tokio::test]
async fn failing_disk_refuses_and_recovers_by_itself() {
    let mount = tempfile::tempdir().unwrap();
    let disk = ForgetfulDisk::default();
    let Some(session) = disk.mount(mount.path()) else { return };
    let journal = Journal::open(&path_in(mount.path()), &limits()).unwrap();
    append_range(&journal, "dev-1", 1..=10).await;
    disk.set_manner(Manner::Failing);
    let refused = append(&journal, entry("dev-1", 1, 11)).await;
    assert!(matches!(refused, Outcome::Refused(Refusal::Failing { .. })), "{refused:?}");
    wait_for_health(&journal, |health| matches!(health, Health::Failing { .. })).await;
    assert_eq!(everything_read(&journal).await, 10);
    disk.set_manner(Manner::Honest);
    wait_for_health(&journal, |health| *health == Health::Ok).await;
    assert!(matches!(append(&journal, entry("dev-1", 1, 11)).await, Outcome::Committed { .. }));
    assert_eq!(everything(&journal).await.len(), 11);
    journal.close().await;
    tokio::task::spawn_blocking(move || session.umount_and_join()).await.unwrap().unwrap();
}

/// Without a reader of its own: making one needs the disk.
async fn everything_read(journal: &Journal) -> usize {
    let query = vitalwire_journal::HistoryQuery {
        device: crate::fixture::device("dev-1"),
        from_us: 0,
        to_us: i64::MAX,
        limit: 100,
        after: None,
    };
    journal.history(query).await.unwrap().len()
}
