//! Readings out of the journal, for those that make messages of them again.

use std::collections::HashMap;
use std::sync::Arc;

use vitalwire_access::DeviceId;
use vitalwire_journal::{Entry, Stored};

use crate::profiles::{PICO, Profiles};
use crate::reading::{BatchValues, Body, Reading, SampleBody, SampleText, Values};
use crate::topics::{DeviceTopics, Source, SourceRef};

/// Sources remembered; when full, all are forgotten.
const SOURCES_MAX: usize = 4_096;

/// See the module.
pub(crate) struct StoredReadings {
    profiles: Profiles,
    sources: HashMap<(DeviceId, String), SourceRef>,
}

impl StoredReadings {
    pub(crate) fn new(profiles: Profiles) -> Self {
        Self { profiles, sources: HashMap::new() }
    }

    /// The readings of an entry, if its source `is_wanted`.
    pub(crate) fn readings(
        &mut self,
        stored: &Stored,
        is_wanted: impl FnOnce(&Source) -> bool,
    ) -> Vec<Reading> {
        let entry = &stored.entry;
        let body = match Body::parse(&entry.body) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(device = %entry.device, position = stored.position, %error, "not published");
                return Vec::new();
            }
        };
        let profile = match &body {
            Body::Batch { profile, .. } => profile,
            Body::Samples { .. } => PICO,
        };
        let Some(source) = self.source(&entry.device, profile) else {
            tracing::error!(device = %entry.device, profile, "not published: the profile is gone");
            return Vec::new();
        };
        if !is_wanted(&source) {
            return Vec::new();
        }
        match body {
            Body::Batch { message, .. } => {
                let values = BatchValues::stored(&message).map(Values::Batch);
                values.map(|values| reading(source, entry, values)).into_iter().collect()
            }
            Body::Samples { first_sequence, samples } => {
                let of_sample = |(sequence, sample): (u64, SampleBody)| {
                    let values = Values::Sample(SampleText::stored(sample.text));
                    Reading {
                        sequence,
                        first_us: entry.first_us.saturating_add_unsigned(sample.offset_us),
                        ..reading(SourceRef::clone(&source), entry, values)
                    }
                };
                (first_sequence..).zip(samples).map(of_sample).collect()
            }
        }
    }

    fn source(&mut self, device: &DeviceId, profile: &str) -> Option<SourceRef> {
        let key = (device.clone(), profile.to_owned());
        if let Some(source) = self.sources.get(&key) {
            return Some(SourceRef::clone(source));
        }
        let profile = self.profiles.find(profile)?;
        let source = Arc::new(Source::new(&Arc::new(DeviceTopics::new(device)), &profile));
        if self.sources.len() >= SOURCES_MAX {
            self.sources.clear();
        }
        self.sources.insert(key, SourceRef::clone(&source));
        Some(source)
    }
}

fn reading(source: SourceRef, entry: &Entry, values: Values) -> Reading {
    Reading {
        source,
        boot: entry.boot,
        sequence: entry.sequence,
        first_us: entry.first_us,
        uncertainty_us: entry.uncertainty_us,
        assurance: entry.assurance,
        values,
    }
}
