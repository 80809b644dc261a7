//! kill -9 at random moments: nothing acknowledged is lost, nothing is stored twice.
//! `JOURNAL_KILLS=100 cargo test -p vitalwire-journal --test journal crash -- --nocapture` for the long form.

use std::time::Duration;

use rand::{RngExt, SeedableRng};

use crate::appender::{Ack, Appender, check, rounds, seed};

#[test]
fn kill_loses_nothing_acknowledged_and_doubles_nothing() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed());
    let folder = tempfile::tempdir().unwrap();
    let mut acks: Vec<Ack> = Vec::new();
    let kills = rounds("JOURNAL_KILLS", 20);
    for round in 1..=kills {
        let appender = Appender::start(folder.path());
        acks.extend(appender.acknowledged_for(Duration::from_micros(random.random_range(0..150_000))));
        acks.extend(appender.kill());
        // Now and then in full: reading all of it each time would take longer than the kills.
        if round % 10 == 0 || round == kills {
            let found = check(folder.path(), &acks).unwrap();
            println!("after {round} kills: {found:?}");
            assert_eq!(found.lost, 0);
            assert!(found.stored >= found.acknowledged / 2, "the check looks at what was acknowledged");
        }
    }
}
