//! When patients' names are read, and for how long earlier ones are shown. It reads no clock and no disk.

use std::time::Duration;

use tokio::time::Instant;

/// How long names may be older than what the registry has. Then none are shown: rather no name than that of the patient before.
pub(crate) const OLD_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Since when what is shown may be old.
    old_since: Option<Instant>,
    is_reading: bool,
    /// What changed after the reading under way had begun.
    changed_at: Option<Instant>,
    are_hidden: bool,
}

impl Names {
    /// The registry has other people.
    pub(crate) fn changed(&mut self, now: Instant) {
        let since = if self.is_reading { &mut self.changed_at } else { &mut self.old_since };
        since.get_or_insert(now);
    }

    /// Whether to read now; if so, that is under way.
    pub(crate) fn begin(&mut self) -> bool {
        let begins = !self.is_reading && self.old_since.is_some();
        self.is_reading |= begins;
        begins
    }

    /// A reading ended. After a failed one the next is at the next beat.
    pub(crate) fn ended(&mut self, is_read: bool) {
        self.is_reading = false;
        let changed_at = self.changed_at.take();
        if is_read {
            self.old_since = changed_at;
            self.are_hidden = false;
        }
    }

    /// Whether the names that are shown must go now.
    pub(crate) fn must_go(&mut self, now: Instant) -> bool {
        let are_old = self.old_since.is_some_and(|since| now - since >= OLD_MAX);
        are_old && !std::mem::replace(&mut self.are_hidden, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_reading_is_repeated_and_after_a_while_no_name_is_shown() {
        let (mut names, begun) = (Names::default(), Instant::now());
        assert!(!names.begin(), "nothing changed");
        names.changed(begun);
        assert!(names.begin());
        assert!(!names.begin(), "one is under way");
        names.ended(false);
        assert!(!names.must_go(begun + OLD_MAX - Duration::from_nanos(1)));
        assert!(names.begin(), "it is still due");
        assert!(names.must_go(begun + OLD_MAX), "also while a reading takes long");
        assert!(!names.must_go(begun + OLD_MAX * 2), "they are gone");
        names.ended(true);
        assert!(!names.begin());
        names.changed(begun + OLD_MAX * 3);
        assert!(names.must_go(begun + OLD_MAX * 4));
    }

    #[tokio::test]
    async fn what_changes_during_a_reading_is_read_again() {
        let (mut names, begun) = (Names::default(), Instant::now());
        names.changed(begun);
        assert!(names.begin());
        names.changed(begun + OLD_MAX / 2);
        names.ended(true);
        assert!(!names.must_go(begun + OLD_MAX), "of the first change nothing is left");
        assert!(names.begin());
        names.ended(true);
        assert!(!names.begin() && !names.must_go(begun + OLD_MAX * 9));
    }
}
