//! Alarms of one patient, as a state machine over times and values, modelled on IEC 60601-1-8 without a claim of conformity.
//! It decides what is an alarm, how urgent it is, and when someone is told; it never tells anyone itself, and reads no clock.
//!
//! [`Limits`] are what a person may set; [`Alarms`] is the machine; a [`Change`] is what it says, each with a copy of the
//! [`Alarm`] that changed.

mod bad;
mod change;
mod condition;
mod limits;
mod machine;
mod words;

pub use bad::{BadSignal, BadSignals};
pub use change::{
    Acknowledgement, Alarm, AlarmState, Change, Numbers, PAUSE_S_MAX, Pause, PauseKind, Timing,
};
pub use condition::{Condition, Conditions, Priority, UnknownName};
pub use limits::{
    Limits, LimitsError, RATE_HYSTERESIS, Signals, TEMPERATURE_HYSTERESIS, Tenths, delay_s_max,
};
pub use machine::{Alarms, AskError, Step, Which};
pub use words::{NAME_LEN_MAX, REASON_LEN_MAX, WordsError, check_name, check_reason};
