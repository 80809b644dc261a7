//! How often one place in the program may write to the log. A peer that connects 20,000 times a second would otherwise
//! write 20,000 lines. The first lines go through; what comes faster is counted, and the counts are told once a second.
//! Only decides: time is an argument, and nothing is written here.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Lines of one place that go through at once.
pub(super) const BURST_LINES: u32 = 50;
/// After them one goes through in this time.
pub(super) const LINE_INTERVAL: Duration = Duration::from_millis(200);
/// How often counts are told.
pub(super) const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Places that are told apart. More than the program has; those beyond would share the last entry.
const PLACES_MAX: usize = 1_024;

/// What one place has written.
struct Tally {
    /// When the last line would have been due, had they come at [`LINE_INTERVAL`] (the generic cell rate algorithm).
    due: Instant,
    left_out: u64,
}

/// What was left out of the lines of one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut<P> {
    pub(super) place: P,
    pub(super) lines: u64,
}

/// See the module.
pub(super) struct Repeats<P> {
    places: HashMap<P, Tally>,
    counted_at: Option<Instant>,
}

impl<P: Clone + Eq + Hash> Repeats<P> {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), counted_at: None }
    }

    /// Whether a line of the place goes through now; if not it is counted.
    pub(super) fn admit(&mut self, place: &P, now: Instant) -> bool {
        let is_new = !self.places.contains_key(place);
        let shared = self.places.keys().next().filter(|_| is_new && self.places.len() >= PLACES_MAX).cloned();
        let tally = self
            .places
            .entry(shared.unwrap_or_else(|| place.clone()))
            .or_insert(Tally { due: now, left_out: 0 });
        let due = tally.due.max(now);
        if due - now > LINE_INTERVAL * (BURST_LINES - 1) {
            tally.left_out += 1;
            self.counted_at.get_or_insert(now);
            return false;
        }
        tally.due = due + LINE_INTERVAL;
        true
    }

    /// When the counts are to be told; none when nothing was left out.
    pub(super) fn next_count(&self) -> Option<Instant> {
        self.counted_at.map(|first| first + COUNT_INTERVAL)
    }

    pub(super) fn take_counts(&mut self) -> Vec<LeftOut<P>> {
        self.counted_at = None;
        let counted = self.places.iter_mut().filter(|(_, tally)| tally.left_out > 0);
        counted
            .map(|(place, tally)| LeftOut {
                place: place.clone(),
                lines: std::mem::take(&mut tally.left_out),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gives_its_first_lines_a_few_a_second_and_the_count_of_the_rest() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        let (mut passed, mut counted) = (0, 0);
        for line in 0..70_000_u64 {
            let now = start + Duration::from_micros(line * 100);
            if repeats.next_count().is_some_and(|at| at <= now) {
                counted += repeats.take_counts().iter().map(|left| left.lines).sum::<u64>();
            }
            passed += u64::from(repeats.admit(&"wrong key", now));
        }
        counted += repeats.take_counts().iter().map(|left| left.lines).sum::<u64>();
        // 7 s at 5 a second, after the burst.
        assert_eq!(passed, u64::from(BURST_LINES) + 7 * 5 - 1);
        assert_eq!(passed + counted, 70_000, "no line is lost without a count");
        assert_eq!(repeats.next_count(), None);
    }

    #[test]
    fn one_place_costs_no_other_its_lines_and_quiet_brings_them_back() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        let pass =
            |repeats: &mut Repeats<_>, place, now| (0..100).filter(|_| repeats.admit(&place, now)).count();
        assert_eq!(pass(&mut repeats, "flood", start), BURST_LINES as usize);
        assert_eq!(pass(&mut repeats, "other", start), BURST_LINES as usize);
        let mut counts = repeats.take_counts();
        counts.sort_by_key(|left| left.place);
        assert_eq!(counts, [LeftOut { place: "flood", lines: 50 }, LeftOut { place: "other", lines: 50 }]);
        assert_eq!(pass(&mut repeats, "flood", start + LINE_INTERVAL * BURST_LINES), BURST_LINES as usize);
    }

    #[test]
    fn lines_that_come_slowly_all_go_through() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        assert!((0..1_000).all(|line| repeats.admit(&"slow", start + LINE_INTERVAL * line)));
    }

    #[test]
    fn the_table_is_bounded_and_what_shares_an_entry_is_counted_too() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        let passed = (0..PLACES_MAX + 200).filter(|place| repeats.admit(place, start)).count();
        assert_eq!(repeats.places.len(), PLACES_MAX);
        let counted: u64 = repeats.take_counts().iter().map(|left| left.lines).sum();
        assert_eq!(passed as u64 + counted, PLACES_MAX as u64 + 200);
    }
}
