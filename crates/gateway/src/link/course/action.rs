//! What passes between the course and who drives it.

use std::time::Instant;

use crate::cause::Cause;
use crate::clock::Mapped;
use crate::event::DeviceEvent;

/// What to do next.
#[derive(Debug)]
pub(in crate::link) enum Action<M> {
    /// Ask the journal up to where it holds the boot, and tell [`super::Course::handle_held`].
    AskHeld,
    /// Have the journal note that nothing below `below` will come, and tell [`super::Course::handle_given_up`].
    GiveUp { below: u64 },
    /// Write the message in `out`, by this moment; tell [`super::Course::handle_send_failed`] if that fails.
    Send { what: Answer, by: Instant },
    /// The device is welcome: it is online.
    Online,
    /// Take this batch, and tell [`super::Course::handle_settled`] what became of it.
    Take(M),
    /// Those who watch over the device are told.
    Tell(DeviceEvent),
    /// Nothing, until something happens.
    Wait(Wait),
    /// Close the connection.
    End(Cause),
}

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) enum Answer {
    Welcome,
    Configure,
    Ack,
    Refused,
}

/// What is waited for, beside batches that are on their way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) struct Wait {
    /// [`super::Course::poll`] has something to do at this moment, if nothing happens before.
    pub(in crate::link) until: Option<Instant>,
    /// The device's next message, or bytes of it.
    pub(in crate::link) messages: bool,
    /// That the journal takes entries.
    pub(in crate::link) journal: bool,
    /// That the connection has to go.
    pub(in crate::link) lease: bool,
}

/// What became of a batch that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) enum Fate {
    /// It is on the disk.
    Held,
    /// Another batch with its boot and number is.
    OtherIsHeld,
    /// The journal did not take it: the device has to send it again.
    Owed,
}

/// A batch's place in time.
#[derive(Clone, Copy, Debug)]
pub(in crate::link) struct Place {
    pub(in crate::link) mapped: Mapped,
    /// When it was received: UTC, microseconds since 1970.
    pub(in crate::link) received_us: i64,
    /// The device did not wait for `Welcome`: the journal may hold it.
    pub(in crate::link) may_be_held: bool,
}
