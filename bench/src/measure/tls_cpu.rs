//! CPU a sample of server and broker together when devices are on the secure link, with one subscriber at QoS 0.

use super::Plan;
use super::cpu::{Comparison, compare};
use crate::load::Shape;
use crate::ours::Protocol;
use crate::report::Report;

const COMPARISONS: [Comparison; 2] = [
    Comparison {
        name: "TLS, batches of 1 s, all topics",
        filters: &["Pico/#", "vitalwire/#"],
        marker: "/Physiological_Data/Temperature",
        shape: Shape::SevenInOne,
        goals: ["", ""],
    },
    Comparison {
        name: "TLS, batches of 1 s, one JSON message",
        filters: &["vitalwire/v1/+/reading"],
        marker: "/reading",
        shape: Shape::Json,
        goals: ["", ""],
    },
];

const EXPLANATION: &str = "CPU a sample over TLS: our devices send a batch a second, and the server has each of them on the \
    disk before it acknowledges; the subscriber gets every value of every sample, and the pulse wave a second time. The \
    peer stores nothing and acknowledges nothing.";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    compare(plan, report, &COMPARISONS, Protocol::Link);
}
