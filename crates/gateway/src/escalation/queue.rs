//! What waits for one web hook, and when it is tried: decisions without sockets and clocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// Deliveries that wait to be tried again or are under way. At it, no more are taken from those that were handed on.
pub(super) const WAITING_MAX: usize = 256;
/// Attempts at the same time.
pub(super) const UNDER_WAY_MAX: usize = 4;
/// When a delivery is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long, from its first attempt. Then it is given up, counted, and logged.
    pub(super) tried_for: Duration,
    /// From a failed attempt to the next, doubled each time.
    pub(super) again_after_min: Duration,
    /// The longest pause.
    pub(super) again_after_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tried_for: Duration::from_secs(15 * 60),
            again_after_min: Duration::from_secs(1),
            again_after_max: Duration::from_secs(60),
        }
    }
}

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// By which the receiver knows it again.
    pub(super) id: String,
    pub(super) body: Bytes,
}

#[derive(Debug)]
struct Entry {
    delivery: Arc<Delivery>,
    /// When it is tried next.
    due: Instant,
    /// When it was tried first.
    first: Option<Instant>,
    tries: u32,
    is_under_way: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pace: Pace,
    entries: Vec<Entry>,
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// Another attempt may do better.
    Failed,
    /// The receiver wants it no more.
    Gone,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Delivered { tries: u32 },
    Again { tries: u32, after: Duration },
    GivenUp { tries: u32 },
}

impl Queue {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, entries: Vec::new() }
    }

    /// Takes one; whether it is new.
    pub(super) fn push(&mut self, delivery: Delivery, now: Instant) -> Result<bool, Full> {
        if self.entries.iter().any(|entry| entry.delivery.id == delivery.id) {
            return Ok(false);
        }
        if !self.has_room() {
            return Err(Full);
        }
        let delivery = Arc::new(delivery);
        self.entries.push(Entry { delivery, due: now, first: None, tries: 0, is_under_way: false });
        Ok(true)
    }

    /// What is to be tried now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Arc<Delivery>> {
        if self.under_way() >= UNDER_WAY_MAX {
            return None;
        }
        let waiting = self.entries.iter_mut().filter(|entry| !entry.is_under_way && entry.due <= now);
        let entry = waiting.min_by_key(|entry| entry.due)?;
        entry.is_under_way = true;
        entry.tries += 1;
        entry.first.get_or_insert(now);
        Some(Arc::clone(&entry.delivery))
    }

    /// When there is something to be tried, if no attempt ends before.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.under_way() >= UNDER_WAY_MAX {
            return None;
        }
        self.entries.iter().filter(|entry| !entry.is_under_way).map(|entry| entry.due).min()
    }

    /// An attempt has ended. `jitter` is by chance, from 0 to 1: receivers that were away are not called by all at once. `None` for
    /// what is not there.
    pub(super) fn ended(&mut self, id: &str, outcome: Outcome, now: Instant, jitter: f64) -> Option<Ended> {
        let place = self.entries.iter().position(|entry| entry.delivery.id == id)?;
        let entry = self.entries.get_mut(place)?;
        let tries = entry.tries;
        let after = again_after(self.pace, tries, jitter);
        let is_over = entry.first.is_some_and(|first| now + after > first + self.pace.tried_for);
        match outcome {
            Outcome::Failed if !is_over => {
                entry.is_under_way = false;
                entry.due = now + after;
                return Some(Ended::Again { tries, after });
            }
            Outcome::Accepted | Outcome::Failed | Outcome::Gone => {}
        }
        self.entries.remove(place);
        Some(match outcome {
            Outcome::Accepted => Ended::Delivered { tries },
            Outcome::Failed | Outcome::Gone => Ended::GivenUp { tries },
        })
    }

    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < WAITING_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn under_way(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_under_way).count()
    }
}

/// Half of the time at least: with none a receiver that is away would be called all the time.
fn again_after(pace: Pace, tries: u32, jitter: f64) -> Duration {
    let doubled =
        pace.again_after_min.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
    doubled.min(pace.again_after_max).mul_f64(0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: usize) -> Delivery {
        Delivery { id: format!("msg_{number}"), body: Bytes::new() }
    }

    const TRIED_FOR: Duration = Duration::from_secs(15 * 60);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_fails_is_tried_again_ever_more_seldom_and_at_last_given_up() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        assert_eq!(queue.push(delivery(1), start), Ok(true));
        let (mut now, mut after) = (start, Vec::new());
        let tries = loop {
            assert_eq!(queue.next_due(), Some(now));
            assert!(queue.next(now).is_some());
            match queue.ended("msg_1", Outcome::Failed, now, 1.0).unwrap() {
                Ended::Again { after: pause, .. } => {
                    assert!(queue.next(now + pause - seconds(0.001)).is_none(), "not before it is due");
                    after.push(pause.as_secs());
                    now += pause;
                }
                ended => break ended,
            }
        };
        assert_eq!(after[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(now <= start + TRIED_FOR && now > start + TRIED_FOR - seconds(61.0));
        assert_eq!(tries, Ended::GivenUp { tries: u32::try_from(after.len()).unwrap() + 1 });
        assert_eq!((queue.len(), queue.next_due()), (0, None));
    }

    #[test]
    fn chance_spreads_attempts_over_half_of_the_pause() {
        assert_eq!(again_after(Pace::default(), 1, 0.0), seconds(0.5));
        assert_eq!(again_after(Pace::default(), 3, 1.0), seconds(4.0));
        assert_eq!(again_after(Pace::default(), u32::MAX, 0.5), seconds(45.0));
        assert_eq!(again_after(Pace::default(), 1, f64::NAN), seconds(0.5), "nonsense is no panic");
    }

    #[test]
    fn what_is_accepted_or_gone_is_not_tried_again() {
        for (outcome, expected) in
            [(Outcome::Accepted, Ended::Delivered { tries: 1 }), (Outcome::Gone, Ended::GivenUp { tries: 1 })]
        {
            let (mut queue, now) = (Queue::default(), Instant::now());
            queue.push(delivery(1), now).unwrap();
            queue.next(now).unwrap();
            assert_eq!(queue.ended("msg_1", outcome, now, 0.0), Some(expected));
            assert!(queue.next(now + TRIED_FOR).is_none());
            assert_eq!(queue.ended("msg_1", outcome, now, 0.0), None);
        }
    }

    #[test]
    fn as_many_as_allowed_are_under_way_and_as_many_wait() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 0..WAITING_MAX {
            assert_eq!(queue.push(delivery(number), now), Ok(true));
        }
        assert_eq!(queue.push(delivery(WAITING_MAX), now), Err(Full));
        assert_eq!(queue.push(delivery(3), now), Ok(false), "one that waits is not doubled");
        for _ in 0..UNDER_WAY_MAX {
            assert!(queue.next(now).is_some());
        }
        assert!(queue.next(now).is_none());
        assert_eq!(queue.next_due(), None);
        queue.ended("msg_0", Outcome::Accepted, now, 0.0);
        assert_eq!(
            queue.next(now).unwrap().id,
            format!("msg_{UNDER_WAY_MAX}"),
            "in the order in which they came"
        );
    }
}
