//! Retained messages: what a new subscription gets.

use std::ops::Bound;
use std::sync::Arc;

use super::{Core, filters};
use crate::message::Publication;

impl Core {
    /// Retains a message, or clears its topic. One that a limit forbids is counted; where it would have taken the place of
    /// another, that is gone, for it is no longer what was said last.
    pub(super) fn retain(&mut self, publication: &Arc<Publication>) {
        let topic = &publication.topic;
        let was_there = self.forget_retained(topic);
        if publication.payload.is_empty() {
            return;
        }
        let bytes = self.retained_bytes + publication.footprint();
        let has_room = self.retained.len() < self.limits.retained_max || was_there;
        if !has_room || bytes > self.limits.retained_bytes_max {
            self.stats.not_retained += 1;
            return;
        }
        self.retained_bytes = bytes;
        self.retained.insert(Arc::clone(topic), Arc::clone(publication));
        self.retained_changed.insert(Arc::clone(topic));
    }

    /// Takes a topic's retained message away; whether there was one.
    pub(super) fn forget_retained(&mut self, topic: &Arc<str>) -> bool {
        let Some(gone) = self.retained.remove(topic) else { return false };
        self.retained_bytes -= gone.footprint();
        self.retained_changed.insert(Arc::clone(topic));
        true
    }

    /// Puts back a retained message of the disk.
    pub(crate) fn restore_retained(&mut self, publication: Publication) {
        self.retained_bytes += publication.footprint();
        self.retained.insert(Arc::clone(&publication.topic), Arc::new(publication));
    }

    /// A message was to be retained and is too long for that.
    pub(crate) fn count_not_retained(&mut self) {
        self.stats.not_retained += 1;
    }

    /// The retained messages whose topics match the filter.
    pub(crate) fn retained(&self, filter: &str) -> impl Iterator<Item = &Arc<Publication>> {
        // Topics are sorted, so that those which begin as the filter does lie together.
        let fixed = filter.find(['#', '+']).map_or(filter, |at| filter.get(..at).unwrap_or_default());
        let fixed = fixed.strip_suffix('/').unwrap_or(fixed).to_owned();
        let from = self.retained.range::<str, _>((Bound::Included(fixed.as_str()), Bound::Unbounded));
        from.map_while(move |(topic, publication)| topic.starts_with(fixed.as_str()).then_some(publication))
            .filter(move |publication| {
                filters::matches(filter, &publication.topic) && !publication.is_expired(self.now_s)
            })
    }
}
