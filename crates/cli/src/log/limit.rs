//! The rate limit of repeated lines, before they are formatted: a filter of the layer that writes them, and the thread that
//! tells the counts. Errors, warnings and information are limited; who asks for debug or trace wants all of it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, error, info, warn};
use tracing_subscriber::layer::{Context, Filter};

use super::repeats::Repeats;

/// Of the lines that tell counts, which are not limited themselves.
const TARGET: &str = "vitalwire::log";

/// What a place writes.
struct Line {
    level: Level,
    message: String,
}

struct State {
    repeats: Repeats<Identifier>,
    /// Of the places whose lines were left out. Bounded as those are.
    lines: HashMap<Identifier, Line>,
}

struct Shared {
    state: Mutex<State>,
    left_out: Condvar,
}

/// See the module. Clones share their counts.
#[derive(Clone)]
pub(super) struct RepeatLimit(Arc<Shared>);

impl RepeatLimit {
    /// Starts the thread that tells counts once a second. It ends with the program.
    pub(super) fn start() -> io::Result<Self> {
        let state = State { repeats: Repeats::new(), lines: HashMap::new() };
        let limit = Self(Arc::new(Shared { state: Mutex::new(state), left_out: Condvar::new() }));
        let telling = limit.clone();
        std::thread::Builder::new().name("log-counts".into()).spawn(move || {
            loop {
                telling.wait();
                telling.tell();
            }
        })?;
        Ok(limit)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let mut state = self.state();
        loop {
            let left = match state.repeats.next_count() {
                None => {
                    state = self.0.left_out.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Some(at) => at.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return;
            }
            state = self.0.left_out.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Tells what was left out until now.
    pub(super) fn tell(&self) {
        let mut state = self.state();
        let counts = state.repeats.take_counts();
        let told: Vec<_> = counts
            .into_iter()
            .map(|left| {
                let line = state.lines.get(&left.place);
                let level = line.map_or(Level::WARN, |line| line.level);
                (level, line.map_or_else(String::new, |line| line.message.clone()), left.lines)
            })
            .collect();
        // Logging asks this filter again.
        drop(state);
        for (level, like, lines) in told {
            const TEXT: &str = "lines like this one were left out";
            match level {
                Level::ERROR => error!(target: TARGET, lines, like, "{TEXT}"),
                Level::WARN => warn!(target: TARGET, lines, like, "{TEXT}"),
                _ => info!(target: TARGET, lines, like, "{TEXT}"),
            }
        }
    }
}

impl<S> Filter<S> for RepeatLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return true;
        }
        let place = metadata.callsite();
        let mut state = self.state();
        if state.repeats.admit(&place, Instant::now()) {
            return true;
        }
        state.lines.entry(place).or_insert_with(|| {
            let mut message = Message(String::new());
            event.record(&mut message);
            Line { level: *metadata.level(), message: message.0 }
        });
        drop(state);
        self.0.left_out.notify_one();
        false
    }
}

/// The text of an event, without its fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
